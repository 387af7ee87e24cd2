// Makes a real daemon an equivocator: loaded ahead of the launcher (`node --import`), it has the supervision tree find another
// spec of consensus. Used by process tests only; nothing of production knows of it.
import { register } from 'node:module';

const tree = new URL('../../../actors/tree.js', import.meta.url).href;
const real = new URL('../../../actors/consensus/spec.js', import.meta.url).href;
const ours = new URL('./spec.js', import.meta.url).href;

const hooks = `export async function resolve(specifier, context, next) {
  const found = await next(specifier, context);
  const isWanted = found.url === ${JSON.stringify(real)} && context.parentURL === ${JSON.stringify(tree)};
  return isWanted ? { ...found, url: ${JSON.stringify(ours)} } : found;
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
