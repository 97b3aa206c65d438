// Validates GLB files with the Khronos glTF validator: node validate.mjs FILE...
//
// The validator does not support EXT_meshopt_compression and ignores content compressed with it. A
// file *.meshopt.glb may use it, and is validated twice: unchanged and decompressed.
//
// Prints the findings for each file and, as the last line, "N passed, N failed". Exits with 1 if a
// file has an error, a warning or an unexpected unsupported extension, if a file cannot be read, or
// if no file is given.

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { validateBytes } from 'gltf-validator';
import { MESHOPT, decompress, parseGlb } from './decompress.mjs';

const SEVERITIES = ['error', 'warning', 'information', 'hint'];
const WARNING = 1;

/** Validates bytes and prints the findings; returns whether there are no errors or warnings. */
async function validate(name, bytes, expectedUnknown) {
  const report = await validateBytes(bytes, { uri: basename(name), format: 'glb', maxIssues: 100 });
  const { issues, info } = report;
  const unknown = issues.messages.filter(({ code, message }) => code === 'UNSUPPORTED_EXTENSION'
    && !(expectedUnknown && message.includes(`'${expectedUnknown}'`)));
  const passed = issues.numErrors === 0 && issues.numWarnings === 0 && unknown.length === 0;
  const summary = `${info?.totalVertexCount ?? 0} vertices, ${issues.numErrors} errors, `
    + `${issues.numWarnings} warnings, ${issues.numInfos} notes, ${issues.numHints} hints`;
  console.log(`${passed ? 'pass' : 'FAIL'} ${name}: ${summary}`);
  for (const message of issues.messages) {
    const where = message.pointer ?? `byte ${message.offset ?? '?'}`;
    const line = `     ${SEVERITIES[message.severity]} ${message.code} at ${where}: ${message.message}`;
    (message.severity <= WARNING ? console.error : console.log)(line);
  }
  return passed;
}

/** Whether a file is valid, including its compressed content. */
async function check(path) {
  try {
    const bytes = new Uint8Array(await readFile(path));
    const mayBeCompressed = path.endsWith('.meshopt.glb');
    let passed = await validate(path, bytes, mayBeCompressed ? MESHOPT : undefined);
    if (mayBeCompressed && parseGlb(bytes).json.extensionsUsed?.includes(MESHOPT)) {
      passed = (await validate(`${path} (decompressed)`, await decompress(bytes))) && passed;
    }
    return passed;
  } catch (error) {
    console.error(`FAIL ${path}: ${error.message ?? error}`);
    return false;
  }
}

const paths = process.argv.slice(2);
let passed = 0;
for (const path of paths) {
  passed += (await check(path)) ? 1 : 0;
}
const failed = paths.length - passed;
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || paths.length === 0 ? 1 : 0;
