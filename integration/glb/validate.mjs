// Validates GLB files with the Khronos glTF validator: node validate.mjs FILE...
//
// Prints what it finds in each file and, as the last line, "N passed, N failed". Exits with 1 if a
// file has an error or a warning, an extension that the validator does not know and that is not
// expected, cannot be read, or if no file is given.

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { validateBytes } from 'gltf-validator';

const SEVERITIES = ['error', 'warning', 'information', 'hint'];
const WARNING = 1;

// The validator has no knowledge of this one; compare.mjs decodes what it holds.
const EXPECTED_UNKNOWN = "'EXT_meshopt_compression'";

/** Whether the file is free of errors and warnings; reports about it. */
async function validate(path) {
  let report;
  try {
    const bytes = new Uint8Array(await readFile(path));
    report = await validateBytes(bytes, { uri: basename(path), format: 'glb', maxIssues: 100 });
  } catch (error) {
    console.error(`FAIL ${path}: ${error.message ?? error}`);
    return false;
  }
  const { issues, info } = report;
  const unknown = issues.messages.filter(({ code, message }) => code === 'UNSUPPORTED_EXTENSION'
    && !(path.endsWith('.meshopt.glb') && message.includes(EXPECTED_UNKNOWN)));
  const passed = issues.numErrors === 0 && issues.numWarnings === 0 && unknown.length === 0;
  const summary = `${info?.totalVertexCount ?? 0} vertices, ${issues.numErrors} errors, `
    + `${issues.numWarnings} warnings, ${issues.numInfos} notes, ${issues.numHints} hints`;
  console.log(`${passed ? 'pass' : 'FAIL'} ${path}: ${summary}`);
  for (const message of issues.messages) {
    const where = message.pointer ?? `byte ${message.offset ?? '?'}`;
    const line = `     ${SEVERITIES[message.severity]} ${message.code} at ${where}: ${message.message}`;
    (message.severity <= WARNING ? console.error : console.log)(line);
  }
  return passed;
}

const paths = process.argv.slice(2);
let passed = 0;
for (const path of paths) {
  passed += (await validate(path)) ? 1 : 0;
}
const failed = paths.length - passed;
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || paths.length === 0 ? 1 : 0;
