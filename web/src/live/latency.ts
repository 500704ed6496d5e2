/**
 * From a produced record to its update in this browser, over the last minute.
 *
 * One sample per pushed update: the push's `age_ms` (newest record's producer
 * timestamp to the push, both on the server's side) plus half a round trip for
 * the way here. The first push of a subscription is not news and not counted.
 */
export const WINDOW_MS = 60_000;
/** Four updates a second, a few panels, a minute: bounded with room. */
export const SAMPLES_MAX = 4_096;

export interface Percentiles {
  p50: number;
  p99: number;
  samples: number;
}

export class LatencyWindow {
  #samples: { at: number; ms: number }[] = [];

  add(at: number, ageMs: number | null, roundTripMs: number | null): void {
    if (ageMs === null || !Number.isFinite(ageMs)) return;
    this.#samples.push({ at, ms: Math.max(0, ageMs) + Math.max(0, roundTripMs ?? 0) / 2 });
    if (this.#samples.length > SAMPLES_MAX) this.#samples.splice(0, this.#samples.length - SAMPLES_MAX);
  }

  read(now: number): Percentiles | null {
    this.#samples = this.#samples.filter((sample) => now - sample.at <= WINDOW_MS);
    if (this.#samples.length === 0) return null;
    const sorted = this.#samples.map((sample) => sample.ms).sort((a, b) => a - b);
    return { p50: rank(sorted, 0.5), p99: rank(sorted, 0.99), samples: sorted.length };
  }
}

/** Nearest-rank percentile: always a value that was really measured. */
function rank(sorted: number[], q: number): number {
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0;
}
