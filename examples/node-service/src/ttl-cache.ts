// Answers that may be a little old. Callers that miss at the same time share one load; failures are not kept.

interface Entry<V> {
  readonly value: Promise<V>
  /** Infinite until it is loaded. */
  expires: number
}

export class TtlCache<V> {
  readonly #ttl: number
  readonly #capacity: number
  readonly #now: () => number
  readonly #entries = new Map<string, Entry<V>>()

  /** `ttl` in milliseconds of `now`. */
  constructor(ttl: number, capacity: number, now: () => number = () => performance.now()) {
    this.#ttl = ttl
    this.#capacity = capacity
    this.#now = now
  }

  /** `hit`: whether the value was there already. */
  async get(key: string, load: () => Promise<V>): Promise<{ value: V; hit: boolean }> {
    const known = this.#entries.get(key)
    if (known && known.expires > this.#now()) {
      const hit = known.expires !== Infinity
      return { value: await known.value, hit }
    }
    return { value: await this.#load(key, load), hit: false }
  }

  #load(key: string, load: () => Promise<V>): Promise<V> {
    // A value is as old as the moment that it was asked for.
    const expires = this.#now() + this.#ttl
    const entry: Entry<V> = { value: load(), expires: Infinity }
    this.#entries.delete(key)
    this.#makeRoom()
    this.#entries.set(key, entry)
    entry.value.then(
      () => {
        entry.expires = expires
      },
      () => {
        if (this.#entries.get(key) === entry) this.#entries.delete(key)
      },
    )
    return entry.value
  }

  /** The oldest goes: a map keeps the order in which its keys came. */
  #makeRoom(): void {
    if (this.#entries.size < this.#capacity) return
    const { value: oldest } = this.#entries.keys().next()
    if (oldest !== undefined) this.#entries.delete(oldest)
  }
}
