// Whether the service can do its work: asked at most once a second however many ask, and within a time limit, because a
// probe that waits for a database that does not answer is no answer either.
import type { Health, TrustEngine } from 'trust-engine'

import { TtlCache } from './ttl-cache.js'

const MAX_AGE_MS = 1000
const MAX_WAIT_MS = 2000

export class HealthProbe {
  /** Set when the service is about to stop. */
  draining = false
  readonly #ask: () => Promise<Health>
  readonly #down: Health
  readonly #maxWait: number
  readonly #recent: TtlCache<Health>

  constructor(engine: Pick<TrustEngine, 'health'>, hasRedis: boolean, maxAge = MAX_AGE_MS, maxWait = MAX_WAIT_MS) {
    this.#ask = () => engine.health()
    this.#down = hasRedis ? { database: 'down', redis: 'down' } : { database: 'down' }
    this.#maxWait = maxWait
    this.#recent = new TtlCache(maxAge, 1)
  }

  async checks(): Promise<Health> {
    return (await this.#recent.get('', () => this.#check())).value
  }

  async #check(): Promise<Health> {
    let timer: NodeJS.Timeout | undefined
    const tooLate = new Promise<Health>((resolve) => {
      timer = setTimeout(resolve, this.#maxWait, this.#down)
    })
    try {
      return await Promise.race([this.#ask(), tooLate])
    } catch {
      // The engine was closed.
      return this.#down
    } finally {
      clearTimeout(timer)
    }
  }
}
