/** Tests with real nodes, and the one that reads every source: begun first, so that none of them is left to run alone. */
const isLong = (file) => /\/dist\/(?:testnet\/|tidy\.)/.test(file);

export default {
  // The drills take a third of the time: drills.config.js has them.
  files: ['dist/**/*.test.js', '!dist/testnet/drills/*.test.js'],
  workerThreads: false,
  // A third file works while two of them wait, for a process to end or a backoff to pass.
  concurrency: 3,
  // The nodes of most tests: threads made ahead cost each a second of processor time. The tests of deaths ask for them.
  environmentVariables: { QUORATE_SUPERVISION_STANDBY: 'false' },
  timeout: '120s',
  sortTestFiles: (a, b) => Number(isLong(b)) - Number(isLong(a)) || (a < b ? -1 : 1),
};
