// The body of PUT /agents/{agentId}. It is not hot, and the engine takes it as an object, so it is read here: as strictly
// as the engine reads the others.
import { invalid, shown } from './errors.js'

const STATUSES = ['ACTIVE', 'SUSPENDED', 'REVOKED'] as const

/** The fields that a body may set. An absent field stays as it is, or has the engine's default for a new agent. */
export interface AgentBody {
  tier?: string
  score?: number
  status?: (typeof STATUSES)[number]
  attestations?: string[]
  creation?: string
  parent?: string
  version?: number
}

type Reader<T> = (field: string, value: unknown) => T

type Fields = Required<AgentBody>

const READERS: { readonly [F in keyof Fields]: Reader<Fields[F]> } = {
  tier: text,
  score: whole,
  status: (field, value) => {
    const status = STATUSES.find((status) => status === value)
    if (status === undefined) throw invalid(field, `must be one of ${STATUSES.join(', ')}`)
    return status
  },
  attestations: (field, value) => {
    if (!Array.isArray(value)) throw invalid(field, 'must be a list of strings')
    return value.map((item: unknown, index) => text(`${field}[${index}]`, item))
  },
  creation: text,
  parent: text,
  version: whole,
}

export function parseAgentBody(body: Buffer): AgentBody {
  const text = decode(body)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw invalid('body', 'is not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('body', 'must be an object')
  const repeated = repeatedName(text)
  if (repeated !== undefined) throw invalid(shown(repeated), 'is there more than once')

  const agent: AgentBody = {}
  for (const [field, given] of Object.entries(value)) {
    if (!isField(field)) throw invalid(shown(field), `is not a field; there are ${Object.keys(READERS).join(', ')}`)
    set(agent, field, given)
  }
  return agent
}

function set<F extends keyof Fields>(agent: Partial<Fields>, field: F, value: unknown): void {
  const read: Reader<Fields[F]> = READERS[field]
  agent[field] = read(field, value)
}

function isField(name: string): name is keyof Fields {
  return Object.hasOwn(READERS, name)
}

function text(field: string, value: unknown): string {
  if (typeof value !== 'string') throw invalid(field, 'must be a string')
  return value
}

function whole(field: string, value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw invalid(field, 'must be a whole number')
  return value as number
}

function decode(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch {
    throw invalid('body', 'is not UTF-8')
  }
}

/**
 * A name that the outermost object has twice. `JSON.parse` lets the last one win, so an inspector on the body's way
 * that took the first has let something else through.
 */
function repeatedName(json: string): string | undefined {
  const seen = new Set<string>()
  let depth = 0
  for (const [, string, colon, open, close] of json.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|([{[])|([}\]])/g)) {
    if (open) depth += 1
    if (close) depth -= 1
    if (depth !== 1 || string === undefined || colon === undefined) continue
    const name = JSON.parse(string) as string
    if (seen.has(name)) return name
    seen.add(name)
  }
  return undefined
}
