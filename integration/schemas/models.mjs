// Validates an AsyncAPI document and generates TypeScript models of its messages.
// Usage: node models.mjs ASYNCAPI.json MODELS.ts
import { readFile, writeFile } from "node:fs/promises";
import { TypeScriptGenerator } from "@asyncapi/modelina";
import { Parser } from "@asyncapi/parser";

const WARNING = 1;

/** Parses a document; returns it with its errors and warnings. */
async function parse(text) {
  const { document, diagnostics } = await new Parser().parse(text);
  const problems = diagnostics
    .filter(({ severity }) => severity <= WARNING)
    .map(({ code, message, path }) => `${path?.join(".")}: ${message} (${code})`);
  return { document, problems };
}

const [source, target] = process.argv.slice(2);
const text = await readFile(source, "utf8");
const { document, problems } = await parse(text);
if (document) {
  const generator = new TypeScriptGenerator({
    modelType: "interface",
    rawPropertyNames: true,
  });
  const models = await generator.generate(document);
  const names = new Set(models.map(({ modelName }) => modelName));
  for (const name of names) {
    if (/anonymous/i.test(name)) {
      problems.push(`the model ${name} is anonymous`);
    }
  }
  // Headers of binary messages are not generated, because they are not payloads.
  for (const message of document.allMessages()) {
    const name = message.payload()?.title();
    if (!names.has(name)) {
      problems.push(`the message ${message.name()} has no model ${name}`);
    }
  }
  await writeFile(target, models.map(({ result }) => `export ${result}`).join("\n\n"));
  console.log(`${names.size} models of the messages were generated`);
}

// The check itself must be able to fail.
const broken = { ...JSON.parse(text), operations: { greet: { action: "shout" } } };
if ((await parse(JSON.stringify(broken))).problems.length === 0) {
  problems.push("an invalid document must be refused");
}
if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
