// The short drills as tests, run by `npm run test:drills`: everything else is as for the other tests.
import tests from './ava.config.js';

export default { ...tests, files: ['dist/testnet/drills/*.test.js'] };
