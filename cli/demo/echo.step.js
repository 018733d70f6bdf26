// Sends a key in a header to a service and prints the answer, which here is an echo of the request.
const response = await fetch(params.url, {
  method: "POST",
  headers: { authorization: "Bearer <<secrets.crm_api_key>>", "content-type": "application/json" },
  body: JSON.stringify({ customer: params.customer }),
});
const echo = await response.json();
console.log("status", response.status);
console.log("the service saw", echo.headers.authorization);
console.warn("the same key in base64:", btoa(<<secrets.crm_api_key>>));
return { status: response.status, customer: echo.body.customer, sentHeaders: Object.keys(echo.headers).length };
