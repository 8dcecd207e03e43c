// Bundles src/ into static/ (or into the folder named): what the server sends is built here and committed, so that
// running needs no Node.

import { build } from 'esbuild';
import { copyFile, readdir, rm } from 'node:fs/promises';

const target = process.argv[2] ? `${process.argv[2]}/` : new URL('./static/', import.meta.url).pathname;
for (const name of await readdir(target)) if (name.endsWith('.js')) await rm(target + name);
const result = await build({
  entryPoints: { page: 'src/main.js' },
  outdir: target,
  bundle: true,
  splitting: true,
  format: 'esm',
  target: ['es2022'],
  minify: true,
  legalComments: 'eof',
  chunkNames: 'part-[name]-[hash]',
  metafile: true,
  absWorkingDir: new URL('.', import.meta.url).pathname,
});
for (const name of ['index.html', 'page.css']) await copyFile(new URL(`./src/${name}`, import.meta.url), target + name);
for (const [name, { bytes }] of Object.entries(result.metafile.outputs)) console.log(`${String(bytes).padStart(8)} ${name}`);
