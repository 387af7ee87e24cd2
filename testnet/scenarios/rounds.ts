// The three rounds of a network of three: all observe, one is slow, one lies. Called by the commands and by its test. Each
// step says what happens and what every node has to say then (docs/ROUNDS.md has the rules).
import type { Scenario } from './run.js';
import type { Stage } from './stage.js';

const HEALTHY = 'round_healthy_001';
const SLOW = 'round_slow_node_001';
const BYZANTINE = 'round_byzantine_001';
/** Those that answer while node 3 stands still. */
const AWAKE = [1, 2];

export const roundsScenario: Scenario = {
  name: 'rounds',
  artifacts: 'artifacts/testnet',
  rounds: [
    {
      title: 'healthy',
      roundId: HEALTHY,
      steps: [
        {
          happens: 'nodes 1, 2 and 3 observe 0.85, 0.82 and 0.88',
          async play(stage) {
            await Promise.all([
              stage.observe(1, { roundId: HEALTHY, tis: 0.85, biases: ['RecencyBias'] }),
              stage.observe(2, { roundId: HEALTHY, tis: 0.82, biases: ['RecencyBias'] }),
              stage.observe(3, { roundId: HEALTHY, tis: 0.88 }),
            ]);
            const biases = ['RecencyBias'];
            return stage.agree({ roundId: HEALTHY, status: 'Complete', observers: [1, 2, 3], tis: 0.85, biases });
          },
        },
      ],
    },
    {
      title: 'slow node',
      roundId: SLOW,
      steps: [
        {
          happens: 'node 3 stands still, node 1 observes 0.80',
          async play(stage) {
            stage.node(3).signal('SIGSTOP');
            await stage.observe(1, { roundId: SLOW, tis: 0.8 });
            return stage.agree({ roundId: SLOW, status: 'Pending', observers: [1], tis: null }, AWAKE);
          },
        },
        {
          happens: 'node 2 observes 0.82: two are a majority',
          async play(stage) {
            await stage.observe(2, { roundId: SLOW, tis: 0.82 });
            return stage.agree({ roundId: SLOW, status: 'Complete', observers: [1, 2], tis: 0.81 }, AWAKE);
          },
        },
        {
          happens: 'node 3 goes on, and catches up',
          async play(stage) {
            stage.node(3).signal('SIGCONT');
            return stage.agree({ roundId: SLOW, status: 'Complete', observers: [1, 2], tis: 0.81 });
          },
        },
        {
          happens: 'node 3 observes 0.84, late',
          async play(stage) {
            await stage.observe(3, { roundId: SLOW, tis: 0.84 });
            return stage.agree({ roundId: SLOW, status: 'Complete', observers: [1, 2, 3], tis: 0.82 });
          },
        },
      ],
    },
    {
      title: 'Byzantine',
      roundId: BYZANTINE,
      steps: [
        {
          happens: 'node 2 tells node 1 0.82 and node 3 0.20; 1 and 3 observe',
          async play(stage) {
            await Promise.all([
              stage.observe(2, { roundId: BYZANTINE, tis: 0.82, audit: 'one' }, 1),
              stage.observe(2, { roundId: BYZANTINE, tis: 0.2, audit: 'other' }, 3),
              stage.observe(1, { roundId: BYZANTINE, tis: 0.85 }),
              stage.observe(3, { roundId: BYZANTINE, tis: 0.88 }),
            ]);
            return withoutTheLiar(stage, BYZANTINE, 0.865);
          },
        },
        {
          happens: 'the healthy round, without what node 2 said',
          play: (stage) => withoutTheLiar(stage, HEALTHY, 0.865),
        },
        {
          happens: 'the slow round, without what node 2 said',
          play: (stage) => withoutTheLiar(stage, SLOW, 0.82),
        },
      ],
    },
  ],
};

function withoutTheLiar(stage: Stage, roundId: string, tis: number) {
  return stage.agree({ roundId, status: 'Complete', observers: [1, 2, 3], tis, excluded: [2] });
}
