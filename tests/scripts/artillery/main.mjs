// Runs a JSON script with Artillery's own runner, in one process, and prints what it counted.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, resolve } from 'node:path';
import core from '@artilleryio/int-core';

const script = JSON.parse(readFileSync(process.argv[2], 'utf8'));
if (script.config.processor) {
  const file = resolve(dirname(process.argv[2]), script.config.processor);
  script.config.processor = createRequire(import.meta.url)(file);
}
const log = console.log;
console.log = () => {};
await core.updateGlobalObject();
const emitter = await core.runner.runner(script, null, {});
emitter.on('done', (report) => {
  const sketches = Object.entries(report.histograms ?? {});
  const summaries = Object.fromEntries(sketches.map(([name, { count, max }]) => [name, { count, max }]));
  log(JSON.stringify({ counters: report.counters, summaries }));
  process.exit(0);
});
emitter.run({ vars: {}, funcs: core.runner.contextFuncs });
