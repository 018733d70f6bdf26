const key = <<secrets.API_KEY>>;
console.log("key:", key);
console.warn("as a header:", "Basic " + btoa(`ada:${key}`));
return { length: key.length, url: "https://example.com/?key=<<secrets.API_KEY>>" };
