/** Tests with real nodes, and the one that reads every source: begun first, so that none of them is left to run alone. */
const isLong = (file) => /\/dist\/(?:testnet\/|tidy\.)/.test(file);

export default {
  files: ['dist/**/*.test.js'],
  workerThreads: false,
  concurrency: 2,
  timeout: '120s',
  sortTestFiles: (a, b) => Number(isLong(b)) - Number(isLong(a)) || (a < b ? -1 : 1),
};
