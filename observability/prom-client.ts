// The part of prom-client that counts. Every thread loads it, so it comes without the package's index, which brings the
// push gateway, OpenTelemetry and node's HTTP client along. It must never make or register a metric itself.
import { createRequire } from 'node:module';
import type * as client from 'prom-client';

const requirePackage = createRequire(import.meta.url);

export const Registry = requirePackage('prom-client/lib/registry.js') as typeof client.Registry;
export type Registry = client.Registry;

export const Counter = requirePackage('prom-client/lib/counter.js') as typeof client.Counter;
export type Counter<Label extends string = string> = client.Counter<Label>;

export const Gauge = requirePackage('prom-client/lib/gauge.js') as typeof client.Gauge;
export type Gauge<Label extends string = string> = client.Gauge<Label>;

export const Histogram = requirePackage('prom-client/lib/histogram.js') as typeof client.Histogram;
export type Histogram<Label extends string = string> = client.Histogram<Label>;
