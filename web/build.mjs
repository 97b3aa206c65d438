// Builds the pages: node build.mjs [FOLDER]
// Lists the npm packages in them as JSON: node build.mjs --packages
//
// Each page is one HTML file with its style and script inside, so the program can serve it from
// memory and any static server can serve the file. The same sources give the same bytes.
// The program embeds the pages in dist/. Pages that are useful on their own are copied to examples/.
// FOLDER replaces the repository's root: the pages are then written to FOLDER/web/dist and so on.

import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));

/** Each page with the files it is written to, relative to the repository's root. */
const PAGES = {
  client: ['web/dist/client.html', 'examples/websocket_client.html'],
  dashboard: ['web/dist/dashboard.html'],
  scene: ['web/dist/scene.html'],
  watch: ['web/dist/watch.html'],
};

/** The text of one bundled file of a page. */
async function bundle(entry) {
  const result = await build(options(entry));
  return result.outputFiles[0].text.trim();
}

function options(entry) {
  return {
    absWorkingDir: here,
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    format: 'iife',
    target: ['chrome111', 'firefox113', 'safari16.4'],
    legalComments: 'inline',
    charset: 'ascii',
    logLevel: 'warning',
  };
}

/** The names of the npm packages that the pages contain. */
async function packages() {
  const names = new Set();
  for (const name of Object.keys(PAGES)) {
    const entry = join('src', name, 'main.ts');
    const { metafile } = await build({ ...options(entry), metafile: true });
    for (const input of Object.keys(metafile.inputs)) {
      const found = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input);
      if (found) {
        names.add(found[1]);
      }
    }
  }
  return [...names].sort();
}

function hash(text) {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

/** What a page may do. A server that serves it narrows `connect-src` to itself. */
function policy(name, script, style) {
  return [
    "default-src 'none'",
    `script-src ${hash(script)} 'wasm-unsafe-eval'`,
    `style-src ${hash(style)}`,
    // A scene is complete, and tells nobody that it is looked at.
    name === 'scene' ? "connect-src 'none'" : 'connect-src http: https: ws: wss:',
    'img-src blob: data:',
    'media-src blob: mediastream:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
}

/** Puts text where the template has its marker, a comment. */
function fill(template, marker, text) {
  const parts = template.split(`/* ${marker} */`);
  if (parts.length !== 2) {
    throw new Error(`the template must have /* ${marker} */ once`);
  }
  return parts.join(text);
}

async function page(name) {
  const folder = join('src', name);
  const script = (await bundle(join(folder, 'main.ts'))).replaceAll('</script', '<\\/script');
  const style = await bundle(join(folder, 'style.css'));
  let html = await readFile(join(here, folder, 'page.html'), 'utf8');
  html = fill(html, 'policy', policy(name, script, style));
  html = fill(html, 'style', style);
  return fill(html, 'script', script);
}

async function write(root) {
  for (const [name, outputs] of Object.entries(PAGES)) {
    const html = await page(name);
    for (const output of outputs) {
      const path = join(root, output);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, html);
    }
  }
}

const argument = process.argv[2];
if (argument === '--packages') {
  console.log(JSON.stringify(await packages()));
} else {
  await write(resolve(argument ?? join(here, '..')));
}
