// Consensus of a validator that says one thing to most and another to one of its peers, in each view another one: two blocks where
// it leads, two notarize votes in every other view. Production consensus in a thread of its own, with a liar at its link to gossip.
import consensus from '../../../actors/consensus/actor.js';
import type { ConsensusContract } from '../../../actors/consensus/contract.js';
import type { ConsensusLinks } from '../../../actors/consensus/host.js';
import type { ConsensusConfig } from '../../../actors/consensus/spec.js';
import { FRAME } from '../../../protocol/consensus/wire.js';
import { loadEd25519 } from '../../../protocol/crypto/ed25519.js';
import { parseGenesis } from '../../../protocol/genesis.js';
import type { JsonObject } from '../../../protocol/json.js';
import { packBytes, unpackBytes } from '../../../runtime/kernel/batch.js';
import type { ActorDefinition } from '../../../runtime/kernel/contract.js';
import { defineActor } from '../../../runtime/kernel/define.js';
import { contradiction, type Liar } from './contradiction.js';
import { lyingLink, turns } from './lying-link.js';

/** Its state is its own affair. */
const honest = consensus as unknown as ActorDefinition<ConsensusContract, unknown, ConsensusLinks, ConsensusConfig>;

export default defineActor<ConsensusContract, unknown, ConsensusLinks, ConsensusConfig>({
  ...honest,

  async init(context) {
    const { config, links } = context;
    const ed25519 = await loadEd25519();
    const { secretKey } = ed25519.keyPair(config.seed);
    const { chainId, validators } = parseGenesis(JSON.parse(config.genesis) as JsonObject);
    const nodeIds = validators.map(({ nodeId }) => nodeId);
    const liar: Liar = {
      chainId,
      index: nodeIds.indexOf(config.nodeId),
      sign: (bytes) => ed25519.sign(bytes, secretKey),
    };
    const peers = nodeIds.filter((nodeId) => nodeId !== config.nodeId);
    // The chain is the seed: another order in each run of a test, the same for all that is said in one.
    const deceivedIn = turns(peers, Buffer.from(chainId).readUInt32BE());
    const gossip = lyingLink(links.gossip, peers, deceivedIn, (frame) => contradiction(liar, frame));
    return honest.init({ ...context, links: { ...links, gossip } });
  },

  tell: {
    ...honest.tell,
    // It does not listen to what is said against it: its own core would take it for a key that is used twice, and fall silent.
    peerFrames(state, { from, frames }) {
      const heard = unpackBytes(frames).filter((frame) => frame[0] !== FRAME.evidence);
      if (heard.length > 0) honest.tell.peerFrames(state, { from, frames: packBytes(heard) });
    },
  },
});
