# The same call in Python, with the standard library and without await.
import base64
import json
import logging
import urllib.request

request = urllib.request.Request(
    params["url"],
    data=json.dumps({"customer": params["customer"]}).encode(),
    headers={"Authorization": f"Bearer <<secrets.crm_api_key>>", "Content-Type": "application/json"},
)
with urllib.request.urlopen(request) as response:
    status = response.status
    echo = json.load(response)

print("status", status)
print("the service saw", echo["headers"]["authorization"])
logging.warning("the same key in base64: %s", base64.b64encode(<<secrets.crm_api_key>>.encode()).decode())
return {"status": status, "customer": echo["body"]["customer"], "sentHeaders": len(echo["headers"])}
