// The stores that the service is measured on: how it is told of one, and what of one outlives it.
import { output } from './children.mjs'

const DATABASE_URL = process.env.BENCH_DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/test'
const REDIS_URL = process.env.BENCH_REDIS_URL ?? 'redis://127.0.0.1:6379'
// A name of its own for the schema and the keys: all other data in the two servers is left alone.
const NAME = 'trust_engine_node_bench'

// In the server: keys hold bytes that would not survive a terminal's text.
const UNLINK_MATCHING = `
  local cursor = '0'
  repeat
    local found = redis.call('scan', cursor, 'match', ARGV[1], 'count', 1000)
    cursor = found[1]
    for _, key in ipairs(found[2]) do redis.call('unlink', key) end
  until cursor == '0'`

const embedded = {
  name: 'embedded',
  env: (folder) => ({ STORE_DIR: `${folder}/store` }),
  reset: async () => {},
  versions: async () => ({}),
  processes: async () => ({}),
  counters: async () => undefined,
}

const servers = {
  name: 'postgres+redis',
  env: () => ({
    DATABASE_URL,
    REDIS_URL,
    PG_SCHEMA: NAME,
    REDIS_PREFIX: NAME,
    ...(process.env.PG_CONNECTIONS && { PG_CONNECTIONS: process.env.PG_CONNECTIONS }),
  }),

  async reset() {
    await psql(`set client_min_messages = warning; drop schema if exists ${NAME} cascade`)
    await redis('eval', UNLINK_MATCHING, '0', `${NAME}:*`)
  },

  async versions() {
    return { PostgreSQL: await psql('show server_version'), Redis: await info('redis_version') }
  },

  /** Ids of processes of this machine; a process of another one cannot be measured. */
  async processes() {
    const checkpointer = Number(await psql("select pid from pg_stat_activity where backend_type = 'checkpointer'"))
    return { postgres: { childrenOf: checkpointer, comm: 'postgres' }, redis: { pid: Number(await info('process_id')), comm: 'redis-server' } }
  },

  async counters() {
    const transactions = await psql('select xact_commit + xact_rollback from pg_stat_database where datname = current_database()')
    return { transactions: Number(transactions), commands: Number(await info('total_commands_processed')) }
  },
}

export const STORES = [embedded, servers]

function psql(sql) {
  return output('psql', ['--no-psqlrc', '--quiet', '--no-align', '--tuples-only', '--set=ON_ERROR_STOP=1', '--command', sql, DATABASE_URL])
}

function redis(...args) {
  return output('redis-cli', ['--no-auth-warning', '-u', REDIS_URL, ...args])
}

async function info(field) {
  const line = (await redis('info')).split('\n').find((line) => line.startsWith(`${field}:`))
  return line?.slice(field.length + 1).trim()
}
