/**
 * The fields that an object of options has itself. A page's other scripts can put a `baseUrl` on Object.prototype; taken
 * for an option, it would send the key to whoever they like. Imports nothing.
 */
export function ownFields<Fields extends object>(fields: Fields): Fields {
  return Object.assign(Object.create(null) as Fields, fields);
}
