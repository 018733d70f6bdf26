# Countries, area and languages per region, over the data set in params["countries"].
from collections import Counter

regions = {}
for country in params["countries"]:
    region = regions.setdefault(country["region"], {"countries": 0, "area": 0, "landlocked": 0, "languages": Counter()})
    region["countries"] += 1
    region["area"] += country["area"]
    region["landlocked"] += country["landlocked"]
    region["languages"].update(country["languages"].values())

rows = []
for name, region in sorted(regions.items()):
    languages = sorted(region["languages"].items(), key=lambda item: (-item[1], item[0]))
    rows.append({"name": name, **region, "languages": [language for language, _ in languages[:3]]})

for row in rows:
    print(f"{row['name']}: {row['countries']} countries, {', '.join(row['languages'])}")
print("signed with", <<secrets.report_key>>)
return {"regions": rows, "countries": len(params["countries"])}
