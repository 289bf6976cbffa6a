/**
 * An embedded trust engine for AI agents: role gates, capability ceilings, and a signed, provable record of every decision.
 *
 * @packageDocumentation
 */

import type {
  Agent, AgentChange, AgentPage, CeilingAnswer, CeilingUsage, Consistency, CurrentPolicy, Decision, EngineInfo, Exported, Health, HostRecordType,
  Json, NewAgent, Page, Permission, PolicyVersion, ProvenanceRecord, ReceiptAnswer, Recorded, RecordType, ResetAnswer, Stats,
} from './wire.js'

export type * from './wire.js'

/** Acknowledges a record: it is durable, and this is its place in the log. */
export type Receipt = ReceiptAnswer

/** A PostgreSQL database, 14 or later. */
export interface PostgresOptions {
  /** `postgres://user:password@host:port/database?sslmode=…`, or a `key=value` string. */
  url: string
  /** The schema of the tables; `trust_engine` by default. */
  schema?: string
  /** Most connections, 4 to 1,000; 8 by default. */
  connections?: number
  /** How long opening a connection may take; 5,000 by default. */
  connectTimeoutMs?: number
  /** How long a statement may take; 10,000 by default. */
  statementTimeoutMs?: number
  /** A PEM file of certificates to trust instead of the machine's. */
  rootCertificates?: string
  /** URL of a read replica for searches and statistics. */
  replica?: string
}

/** A Redis server, 7.0 or later. */
export interface RedisOptions {
  /** `redis://user:password@host:port/database`, `rediss://` for TLS. */
  url: string
  /** The prefix of the keys; `trust_engine` by default. */
  prefix?: string
  /** How long a call may take before PostgreSQL is asked instead; 250 by default. */
  timeoutMs?: number
  /** How long opening a connection may take; 2,000 by default. */
  connectTimeoutMs?: number
  /** How long statistics may be answered from a copy that the engines share; off by default. */
  statsTtlMs?: number
  /** A PEM file of certificates to trust instead of the machine's. */
  rootCertificates?: string
  /** Lets Redis count alone, for engines with an embedded store each. */
  bestEffort?: boolean
}

/** Where the log and the state live. */
export type StorageOptions = { redis?: string | RedisOptions } & (
  | { memory: true; embedded?: never; postgres?: never }
  | { embedded: string; memory?: never; postgres?: never }
  | { postgres: string | PostgresOptions; memory?: never; embedded?: never }
)

/** The options that an engine is opened with. */
export interface OpenOptions {
  storage: StorageOptions
  /** A policy document (YAML or JSON text) to bring into force if it is not the one in force. */
  policy?: string
  /** The Ed25519 signing key: 32 bytes of seed. PostgreSQL needs one; the embedded store makes its own. */
  signingKey?: Uint8Array
  /** Name of the deployment, part of every signature. PostgreSQL needs one. */
  deployment?: string
  /** Callers whose claims of a tier are believed and recorded as theirs. */
  tierAuthorities?: readonly string[]
  /** The shard to write, also if another engine writes it now; a free one by default. */
  shard?: number
  /** How long the owner of a shard may be silent before others take over, 2,000 to 3,600,000; 10,000 by default. */
  takeoverAfterMs?: number
  /** How far clocks may differ, or one may jump, without a warning, 1,000 to 86,400,000; 300,000 by default. */
  maxClockJumpMs?: number
  /** Submissions that may wait for a commit; 8,192 by default. */
  queue?: number
  /** Agents and quotas kept in memory; 100,000 by default. */
  cachedAgents?: number
}

/** May this agent take this role here? */
export interface GateRequest {
  agentId: string
  role: string
  /** The tier that the caller says the agent holds: a claim. */
  tier?: string
  organization?: string
  /** The caller that asks; the host vouches for it. */
  caller?: string
  /** The person or service on whose behalf the agent acts; recorded. */
  onBehalfOf?: string
  /** W3C Trace Context; recorded. */
  traceparent?: string
  context?: { resourceId?: string; action?: string; environment?: string; metadata?: { [name: string]: Json } }
}

/** What stands beside a gate's request. */
export interface GateOptions {
  /** Whether the verdict is to have its trace; it costs some microseconds. */
  readonly trace?: boolean
}

/** A gate's verdict. */
export interface GateVerdict {
  readonly allowed: boolean
  readonly decision: Decision
  readonly reason: string
  readonly reasonCode: string
  /** RFC 3339, UTC. */
  readonly evaluatedAt: string
  /** Id of the record; of one that is not recorded nothing can be found under it. */
  readonly provenanceId: string
  readonly requiredTier?: string
  readonly escalationPath?: string
  readonly recorded: Recorded
  /** There once the verdict is committed. */
  readonly receipt?: Receipt
  /** Every layer, rule and condition, and what would have allowed it, in several lines; if it was asked for. */
  readonly trace?: string
}

/** A verdict that was given before its record was committed: {@link TrustEngine.committed} waits for that. */
export interface PendingVerdict extends GateVerdict {
  readonly recorded: 'pending' | 'none'
  readonly receipt?: never
}

/** May this agent use this much? */
export interface CeilingRequest {
  agentId: string
  resourceType: string
  /** 1 to 2^40 − 1. */
  requestedAmount: number
  tier?: string
  organization?: string
  caller?: string
  onBehalfOf?: string
  traceparent?: string
  /**
   * Makes a retry of an admitted check free, in every engine of a fleet, for 24 hours. The check is committed before it is
   * answered, so `checkCeilingNow` throws {@link WouldBlockError} where the store is remote.
   */
  requestId?: string
}

/** A ceiling's verdict. */
export interface CeilingVerdict {
  readonly allowed: boolean
  readonly reason: string
  readonly reasonCode: string
  readonly currentUsage: number
  readonly ceiling: number
  readonly remaining: number
  /** RFC 3339, UTC; `undefined` where no counter was asked. */
  readonly resetAt?: string
  readonly nearLimit: boolean
  /** Whether this answers an earlier try with the same request id: nothing was charged now. */
  readonly repeated?: true
  /** Id of the record, if the policy records this verdict. */
  readonly provenanceId?: string
  readonly recorded: Recorded
  /** Whether the same check may be admitted soon. */
  readonly retryable: boolean
}

/** A record that the host writes itself. */
export interface NewRecord {
  type: HostRecordType
  agentId: string
  /** One of the engine's decisions, or a word of the host's own: a letter, then at most 63 letters, digits or `_.:-`. */
  decision: string
  /** An id of the caller's own (UUID): a retry with the same content returns the same receipt. */
  id?: string
  reasonCode?: string
  reason?: string
  context?: { [name: string]: Json }
  /** The record of the same organization that this one follows from. */
  parentId?: string
  caller?: string
  onBehalfOf?: string
  traceparent?: string
}

/** Which records to find. */
export interface Query {
  agentId?: string
  type?: RecordType
  decision?: string
  /** RFC 3339, inclusive. */
  startTime?: string
  /** RFC 3339, exclusive. */
  endTime?: string
  parentId?: string
  oldestFirst?: boolean
  /** Records per page, 1 to 1,000; 20 by default. */
  pageSize?: number
  pageToken?: string
  /** Searches the store itself and not its replica. */
  readYourWrites?: boolean
}

/** The proof of a record, for anyone who has the log's public key. */
export interface Proof {
  /** The exact bytes that were hashed into the tree. */
  readonly entry: Uint8Array
  /** The exact bytes of the payload, JSON; absent if it is gone. The entry's `payload` is their HMAC-SHA-256, whose key is the salt. */
  readonly payload?: Uint8Array
  /** The salt of the payload: 32 bytes. */
  readonly salt?: Uint8Array
  /** A C2SP tlog-proof. */
  readonly proof: string
  /** The key that verifies it, as a C2SP verifier key. */
  readonly verifierKey: string
}

/** Which agents to find; a field that is not set does not restrict them. */
export interface AgentQuery {
  tier?: string
  status?: Agent['status']
  /** The agent at the root of a family: it and all that descend from it. */
  family?: string
  /** Agents per page, 1 to 1,000; 20 by default. */
  pageSize?: number
  pageToken?: string
}

/**
 * The scope of records or counts: an organization, given by name or as an option, `default` where none is named, or the
 * whole fleet. The fleet is never meant by leaving something out.
 */
export type Scope = string | { organization?: string; fleetWide?: false } | { fleetWide: true; organization?: never }

/** A range of statistics that ends now. */
export type TimeRange = '1h' | '6h' | '24h' | '7d' | '30d' | 'all'

/** The caller of the JSON forms, as the host has authenticated it: nothing of this is taken from a body. */
export interface Caller {
  /** Recorded; a tier authority if the engine was opened with it as one. */
  readonly name?: string
  readonly organization?: string
  /** May see records of every organization. */
  readonly fleetWide?: boolean
  /** Sees records of internal types too: changes of agents and policies, signals, gaps. */
  readonly internal?: boolean
  /** What it may do, of the table's permissions (`agents:read`…); everything by default. */
  readonly permissions?: readonly Permission[]
}

/** What stands beside the parameters of a call. */
export interface CallOptions {
  readonly body?: Uint8Array
  /** The version that has to be there, as the header If-Match has it. */
  readonly ifMatch?: string
  readonly idempotencyKey?: string
  readonly requestId?: string
  readonly traceparent?: string
}

/** What a call answers. */
export interface Answer {
  /** 200 or 201. */
  readonly status: number
  readonly body: string
  readonly contentType: string
  /** The version of what it shows, quoted. */
  readonly etag?: string
  /** Whether it can never change. */
  readonly immutable: boolean
}

/** A parameter of a call or a stream; what is repeated in a query string is a list, and refused. */
export type Parameters = { readonly [name: string]: string | number | boolean | null | undefined | readonly string[] }

/**
 * The calls of the REST contract for one caller: bodies in, bodies out. An error answer of the contract is a
 * {@link ContractError}; an argument that is not of its type is an {@link InvalidInputError}, as everywhere.
 * `traceparent` is the header of that name: it is recorded, and left out if it is none.
 */
export interface JsonCalls {
  /** Resolves with the answer's body (status 200) when the verdict is committed. */
  evaluateGate(body: Uint8Array, requestId?: string, traceparent?: string): Promise<string>
  /** The same at once, `"recorded":"pending"`. */
  decideGate(body: Uint8Array, requestId?: string, traceparent?: string): string
  /** Status 200. */
  checkCeiling(body: Uint8Array, idempotencyKey?: string, requestId?: string, traceparent?: string): Promise<string>
  /** Status 201. */
  record(body: Uint8Array, requestId?: string, traceparent?: string): Promise<string>
  /** Status 200. */
  get(id: string, requestId?: string): Promise<string>
  /** Status 200. `depth`: 1 to 100. */
  chain(id: string, depth: number, requestId?: string): Promise<string>
  /** Status 200. */
  query(query?: Query, requestId?: string): Promise<string>
  /** Status 200. */
  stats(timeRange: TimeRange, requestId?: string): Promise<string>
  /** A call of the engine's table ({@link callTable}) by its name, for example `agents.list`. */
  call(name: string, parameters?: Parameters, options?: CallOptions): Promise<Answer>
  /**
   * Subscribes to a stream when the first item is asked for: `agents.list` and `provenance.query` give what these calls list, and
   * end; `provenance.follow` gives records that are committed from then on, in their final order over all shards. Items are JSON.
   * It is ended by `return()`, also while `next()` waits; after an error that is retryable it can be asked again where it stood.
   * Errors are those of the engine.
   */
  subscribe(name: string, parameters?: Parameters): AsyncIterableIterator<string>
}

/** A row of the engine's table of calls. */
export interface CallRow {
  readonly name: string
  readonly route: { readonly method: string; readonly path: string } | null
  readonly parameters: readonly { readonly name: string; readonly required: boolean; readonly kind: { readonly type: string; readonly of?: unknown } }[]
  /** In bytes; 0 for a call that takes no body. */
  readonly maxBody: number
  /** Whether it may keep a processor busy for milliseconds. */
  readonly heavy: boolean
  /** Whether it takes `ifMatch`. */
  readonly ifMatch: boolean
  readonly permission: Permission
}

/** The engine's table of calls. */
export const callTable: readonly CallRow[]

/** Any error of the engine. */
export class TrustEngineError extends Error {
  protected constructor()
  /** For example `TE_INVALID_INPUT`. */
  readonly code: string
  /** Whether the same call may succeed later without a change by the caller. */
  readonly retryable: boolean
  /** Values that help to find the cause; `field` for an invalid input. */
  readonly details: { readonly [name: string]: string }
}
/** A value given by the caller is outside its bounds; `details.field` names it. */
export class InvalidInputError extends TrustEngineError {}
/** The policy document has mistakes; the message lists them all. */
export class InvalidPolicyError extends TrustEngineError {}
/** The caller may not do this. */
export class ForbiddenError extends TrustEngineError {}
/** The thing asked for does not exist, or not in this organization. */
export class NotFoundError extends TrustEngineError {}
/** The change was made against another version, or an id is taken by other content. */
export class ConflictError extends TrustEngineError {}
/** The store cannot be reached, is full, locked or fenced, or the queue is full: there is no verdict. Treat it as a denial. */
export class UnavailableError extends TrustEngineError {}
/** A call that never waits would have had to wait. */
export class WouldBlockError extends TrustEngineError {}
/** The engine was closed. */
export class ClosedError extends TrustEngineError {}
/** The store or its key is damaged, foreign, of a newer version, or may not be accessed. */
export class StoreError extends TrustEngineError {}

/** A proof, a signature or a payload is not what it says. */
export class NotVerifiedError extends TrustEngineError {}

/** An answer of a JSON form that is not the call's success. */
export class ContractError extends Error {
  private constructor()
  /** The HTTP status. */
  readonly status: number
  /** The body: an error of the contract. */
  readonly body: string
  /** The cause in detail, for the host's log: the body of a 500 does not tell it. */
  readonly detail: string
  /** The engine's own error. */
  readonly cause?: TrustEngineError
}

/** The log, as one organization or the whole fleet sees it. */
export interface Log {
  /** Records something that the host decided; resolves when it is committed. The whole fleet records nothing. */
  record(record: NewRecord): Promise<Receipt>
  /** Every record that matches, page by page; records committed meanwhile neither shift nor repeat anything. */
  query(query?: Query): AsyncIterable<ProvenanceRecord>
  /** One page. */
  page(query?: Query): Promise<Page>
  get(id: string): Promise<ProvenanceRecord>
  /** The record and what it follows from, at most `depth` (1 to 100) ancestors; the record first. */
  chain(id: string, depth?: number): Promise<ProvenanceRecord[]>
  /** A proof that the record is in the log, against the newest checkpoint. */
  prove(id: string): Promise<Proof>
  /** The newest signed checkpoint of a shard, by default of the one that this engine writes; `null` for an empty log. */
  checkpoint(shard?: number): Promise<string | null>
  /** A proof that the newest checkpoint of a shard begins with the log of an older size, for {@link verifyConsistency}. */
  proveConsistency(older: number, shard?: number): Promise<Consistency>
  /** Writes the log of a shard into a new folder, as C2SP tlog-tiles and JSON Lines, for {@link verifyLog}. */
  export(folder: string, shard?: number): Promise<Exported>
  /** Recomputes everything in every shard; resolves with what is wrong, nothing if it is clean. */
  verify(): Promise<string[]>
}

/** The quota of one agent. */
export interface Quota {
  /** Checks an amount at the agent's held tier and charges it, without waiting. */
  tryTake(resourceType: string, amount: number): CeilingVerdict
}

/** An amount that is charged and may turn out not to be needed. Let go of without being settled, it stays charged. */
export interface Reservation {
  /** Says how much was used: the rest is free again, if its window is still running. `null` if the policy does not record it. */
  commit(used: number): Promise<Receipt | null>
  /** Says that nothing was used. */
  void(): Promise<Receipt | null>
}

/** Agents of one organization. */
export interface Agents {
  register(agent: NewAgent): Promise<Agent>
  change(id: string, change: AgentChange): Promise<Agent>
  get(id: string): Promise<Agent>
  /**
   * Registers many agents, as fast as they can be committed together. The outcomes are in the places of the agents, and one that
   * is refused costs no other. Parents and creators may stand before their descendants.
   */
  import(agents: readonly NewAgent[]): Promise<({ agent: Agent; error?: never } | { error: TrustEngineError; agent?: never })[]>
  /** The agents of a query, in the order of their registration, page by page. */
  list(query?: AgentQuery): AsyncIterableIterator<Agent>
  page(query?: AgentQuery): Promise<AgentPage>
  /** Exact up to 10,000; more are 10,000. */
  count(query?: AgentQuery): Promise<number>
}

/** The policy in force and its history. */
export interface Policy {
  current(): CurrentPolicy
  /** Brings a document (YAML or JSON text) into force; resolves when its record is committed. */
  swap(document: string, actor: string): Promise<Receipt>
  /** Versions, newest first. */
  history(below?: number, limit?: number): Promise<PolicyVersion[]>
}

/** An open engine. */
export class TrustEngine {
  private constructor()
  /** Opens an engine; rejects within the connect timeouts. */
  static open(options: OpenOptions): Promise<TrustEngine>

  /** Evaluates a gate at once; its record is on its way into the log. Throws {@link WouldBlockError} if the agent has to be fetched. */
  decideGate(request: GateRequest, options?: GateOptions): PendingVerdict
  /** Evaluates a gate; resolves when the verdict is committed. */
  evaluateGate(request: GateRequest, options?: GateOptions): Promise<GateVerdict>
  /**
   * Waits for the commit of a verdict that {@link decideGate} of this engine gave, itself and not a copy; asked again, it
   * gives the same promise. `null` if the policy does not record the verdict. First asked after more verdicts than the queue
   * holds and 8,192 others, it looks for the record in the log, and rejects with a {@link NotFoundError} if there is none.
   */
  committed(verdict: PendingVerdict): Promise<Receipt | null>
  /** Checks and consumes at once, with what the engine holds. Throws {@link WouldBlockError} if the counters have to be asked. */
  checkCeilingNow(request: CeilingRequest): CeilingVerdict
  /** Checks and consumes: all of the amount or nothing. */
  checkCeiling(request: CeilingRequest): Promise<CeilingVerdict>
  /**
   * A handle on an agent's quota, for hosts that check it often. Throws {@link WouldBlockError} if the agent has to be fetched. It
   * keeps the engine's store open until it is collected.
   */
  quota(agentId: string, organization?: string): Quota
  /** Charges an amount that is not certain yet; `reservation` is `null` if the check was refused. */
  reserve(request: Omit<CeilingRequest, 'requestId'>): Promise<{ verdict: CeilingVerdict; reservation: Reservation | null }>
  /** Whether a check would be admitted now. Charges and records nothing. */
  peek(request: Omit<CeilingRequest, 'requestId'>): Promise<CeilingAnswer>
  /** Brings counters back that are ahead of the clock, because it was once set ahead; recorded in the name of `actor`. */
  resetCeiling(agentId: string, resourceType: string, actor: string, organization?: string): Promise<ResetAnswer>
  /** An agent's usage of every resource that its tier has a ceiling for. */
  usage(agentId: string, organization?: string): Promise<CeilingUsage[]>

  /** The calls of the REST contract, for hosts that hold JSON. */
  json(caller?: Caller): JsonCalls
  /** The log as an organization or the whole fleet sees it. */
  log(scope?: Scope): Log
  /** The agents of an organization. */
  agents(organization?: string): Agents
  readonly policy: Policy
  /** `24h` by default. */
  stats(timeRange?: TimeRange, scope?: Scope): Promise<Stats>
  health(): Promise<Health>
  /** Version, shard, key and warnings. */
  info(): Promise<EngineInfo>
  /**
   * Copies the embedded store, as it is now, into a new folder, while it is in use, with its key. A backup can be verified and
   * exported; `trust-engine restore` makes a store of it.
   */
  backup(folder: string): Promise<void>
  /** Warnings for the operator of the store; none once the engine is closed. */
  readonly warnings: readonly string[]
  /** The key that verifies the shard of the log that this engine writes. Throws {@link ClosedError} once it is closed. */
  readonly verifierKey: string
  /** Commits what waits and closes. Calls afterwards fail with {@link ClosedError}; those under way are settled first. */
  close(): Promise<void>
}

/** Verifies offline that a record is in the log of a key; throws if it is not. */
export function verifyRecord(entry: Uint8Array, proof: string, verifierKey: string): void

/** Verifies offline that a payload is the one that a record commits to; throws if it is not. */
export function verifyPayload(entry: Uint8Array, payload: Uint8Array, salt: Uint8Array): void

/** Verifies offline that the log at a newer checkpoint begins with the log at an older one; throws if it does not. */
export function verifyConsistency(older: string, newer: string, proof: readonly string[], verifierKey: string): void

/** Verifies a log that was exported into a folder, and that it goes on from a checkpoint that was kept; throws if it is not whole. */
export function verifyLog(folder: string, verifierKey: string, since?: string): void

/** The version of the package. */
export const version: string
