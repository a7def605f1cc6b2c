// Runs a JSON script with Artillery's own runner, in one process, and prints what it counted.
import { readFileSync } from 'node:fs';
import core from '@artilleryio/int-core';

const script = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const log = console.log;
console.log = () => {};
await core.updateGlobalObject();
const emitter = await core.runner.runner(script, null, {});
emitter.on('done', (report) => {
  log(JSON.stringify({ counters: report.counters }));
  process.exit(0);
});
emitter.run({ vars: {}, funcs: core.runner.contextFuncs });
