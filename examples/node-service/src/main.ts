// Starts the service. Exit codes: 0 stopped in order, 1 could not start or stop, 2 wrong configuration.
import type { FastifyInstance } from 'fastify'
import type { TrustEngine } from 'trust-engine'

import { type Config, readConfig } from './config.js'
import { openEngine } from './engine.js'
import { entryOf, newSecret, parseKeys, PERMISSIONS } from './keys.js'
import { buildServer } from './server.js'
import { ConfigError } from './settings.js'
import { stopOnSignals } from './shutdown.js'

await main(process.argv.slice(2))

async function main(args: string[]): Promise<void> {
  const unknown = args.filter((arg) => arg !== '--dev')
  if (unknown.length > 0) return exit(2, `${unknown.join(' ')} is not understood; there is only --dev`)

  const config = configuration(args.includes('--dev'))
  const engine = await opened(config)
  const { app, probe } = buildServer(config, engine)
  for (const warning of engine.warnings) app.log.warn(warning)
  stopOnSignals(app, engine, probe, config.shutdownTimeoutSeconds)
  await listen(app, engine, config)
}

function configuration(dev: boolean): Config {
  try {
    const config = readConfig(process.env, dev)
    return config.keys.length > 0 ? config : withDevKey(config)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return exit(2, ...error.mistakes)
  }
}

/** A key for as long as the process runs, that may do everything. */
function withDevKey(config: Config): Config {
  const secret = newSecret()
  const keys = parseKeys(JSON.stringify([entryOf(secret, 'dev', 'default', [...PERMISSIONS])]), [])
  process.stderr.write(`--dev: this key may do everything until the service stops: ${secret}\n`)
  return { ...config, keys }
}

async function opened(config: Config): Promise<TrustEngine> {
  try {
    return await openEngine(config)
  } catch (error) {
    return exit(1, `the engine cannot be opened: ${(error as Error).message}`)
  }
}

async function listen(app: FastifyInstance, engine: TrustEngine, { host, port }: Config): Promise<void> {
  try {
    await app.listen({ host, port })
  } catch (error) {
    await engine.close()
    const { code, message } = error as NodeJS.ErrnoException
    const taken = `${host}:${port} is taken; stop what listens there, or set PORT`
    exit(1, code === 'EADDRINUSE' ? taken : `cannot listen on ${host}:${port}: ${message}`)
  }
}

function exit(code: number, ...lines: string[]): never {
  for (const line of lines) process.stderr.write(`trust-engine-service: ${line}\n`)
  process.exit(code)
}
