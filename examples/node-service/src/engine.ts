import { type OpenOptions, type StorageOptions, TrustEngine } from 'trust-engine'

import type { Config, Storage } from './config.js'

/** Opens the engine that a configuration describes. */
export function openEngine(config: Config): Promise<TrustEngine> {
  const { deployment, policy, signingKey } = config
  const options: OpenOptions = {
    storage: storageOptions(config.storage),
    tierAuthorities: config.keys.filter((key) => key.permissions.has('tiers:assert')).map((key) => key.name),
    ...(deployment !== undefined && { deployment }),
    ...(policy !== undefined && { policy }),
    ...(signingKey !== undefined && { signingKey }),
  }
  return TrustEngine.open(options)
}

function storageOptions(storage: Storage): StorageOptions {
  if (storage.kind === 'embedded') return { embedded: storage.folder }
  const { url, schema, connections, redis } = storage
  return {
    postgres: { url, ...(schema !== undefined && { schema }), ...(connections !== undefined && { connections }) },
    ...(redis && { redis: { url: redis.url, ...(redis.prefix !== undefined && { prefix: redis.prefix }) } }),
  }
}
