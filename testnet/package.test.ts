// The package as a user gets it: packed, installed in an empty project, its example run, its types checked.
import { execFile } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';
import { fencesOf } from './markdown.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const EXAMPLE = join(ROOT, 'examples', 'runtime');
const run = promisify(execFile);

const TYPED = `
import { ActorError, defineActor, defineSpec, type Policies, supervise } from 'quorate/runtime';

interface Greeter {
  tell: { stumble: { hard: boolean } };
  ask: { greet: { request: { name: string }; reply: string } };
}
const policies: Policies<Greeter> = {
  tell: { stumble: { max: 1, reason: 'one' } },
  ask: { greet: { max: 8, reason: 'eight' } },
};
export default defineActor<Greeter, { greeted: number }, object, { greeting: string }>({
  policies,
  init: ({ config }) => ({ greeted: config.greeting.length }),
  tell: { stumble: (_, { hard }) => void hard },
  ask: { greet: (state, { name }) => \`\${name} \${state.greeted}\` },
  stop() {},
});
const spec = defineSpec<{ greeting: string }>({
  id: 'greeter', module: new URL('./greeter.js', import.meta.url), restart: 'backoff', links: [], configure: (c) => c,
});
const supervisor = supervise({
  tree: { id: 'root', strategy: 'one-for-one', budget: { intensity: 1, periodMs: 1_000 }, children: [spec] },
  config: { greeting: 'hello' },
});
const reply: string = await supervisor.link<Greeter>('greeter').ask('greet', { name: 'Ada' });
// @ts-expect-error a message that the contract does not have
supervisor.link<Greeter>('greeter').tell('tumble', {});
// @ts-expect-error a request of another shape
supervisor.link<Greeter>('greeter').ask('greet', { nome: 'Ada' });
const error: Error = new ActorError("refused", reply);
if (error instanceof ActorError && !error.retryable) throw error;
`;

test('RT-13: packed and installed in an empty project, the runtime runs its example and types its users', async (t) => {
  t.timeout(180_000);
  const project = mkdtempSync(join(tmpdir(), 'quorate-package-'));
  t.teardown(() => rmSync(project, { recursive: true, force: true }));
  await run('npm', ['pack', '--ignore-scripts', '--pack-destination', project], { cwd: ROOT });
  const [tarball] = readdirSync(project);
  writeFileSync(join(project, 'package.json'), '{"name":"empty","private":true,"type":"module"}');
  const flags = ['--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts'];
  // Under `npm test` every setting of this project is in the environment, engine-strict among them. A user's is empty.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')));
  await run('npm', ['install', ...flags, join(project, tarball!)], { cwd: project, env });

  cpSync(EXAMPLE, project, { recursive: true });
  const { stdout } = await run('node', ['main.mjs'], { cwd: project });
  const [printed] = fencesOf(readFileSync(join(EXAMPLE, 'README.md'), 'utf8')).filter(
    ({ language }) => language === 'text',
  );
  // Log lines of the actors themselves may stand between.
  const lines = stdout.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
  t.is(lines.join('\n'), printed!.text);

  writeFileSync(join(project, 'typed.ts'), TYPED);
  const settings = {
    strict: true,
    module: 'nodenext',
    target: 'es2023',
    noEmit: true,
    skipLibCheck: true,
    types: ['node'],
  };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: settings, files: ['typed.ts'] }));
  if (!existsSync(join(project, 'node_modules', '@types', 'node'))) {
    symlinkSync(join(ROOT, 'node_modules', '@types'), join(project, 'node_modules', '@types'));
  }
  const checked = await run('node', [join(ROOT, 'node_modules', '.bin', 'tsc'), '-p', project]).catch(
    (error: { stdout: string }) => error,
  );
  t.is(checked.stdout, '');
  const files = readdirSync(join(project, 'node_modules', 'quorate'), { recursive: true }).map(String);
  t.deepEqual(
    files.filter((file) => /\.test\.|fixtures|dist\/testnet|dist\/bench/.test(file)),
    [],
  );
});
