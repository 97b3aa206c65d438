// Fails if a report of `redocly lint --format json` has an error or a warning.
import { readFile } from "node:fs/promises";

const { problems, totals } = JSON.parse(await readFile(process.argv[2], "utf8"));
for (const { severity, ruleId, message, location } of problems) {
  console.error(`${severity} ${ruleId} at ${location[0]?.pointer}: ${message}`);
}
if (totals.errors + totals.warnings > 0) {
  process.exit(1);
}
console.log("the description of the REST interface has no problems");
