// The shapes of bodies and answers. Written by .ci/types from docs/calls.schema.json; do not edit.
// Instants are text: RFC 3339, UTC. A property that is optional is left out of an answer.

/** A value of JSON. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

/** A registered agent. */
export interface Agent {
  /** The facts that have been verified about the agent; sorted, without duplicates. */
  readonly attestations: string[]
  /** The time at which the agent was last changed. */
  readonly changedAt: string
  /** The way in which the agent came to be. */
  readonly creation: Creation
  /** The creator that was named when the agent was registered. */
  readonly creator?: string
  /** The agent at the root of its family: the first of its parents, or of its creators that are agents themselves. The root is set when the agent is registered; a root itself has none. */
  readonly family?: string
  /** The agent's id, unique within its organization. */
  readonly id: string
  /** The organization that the agent belongs to. */
  readonly organization: string
  /** The agent that it was made from. */
  readonly parent?: string
  /** The time at which the agent was registered. */
  readonly registeredAt: string
  /** The agent's trust score, if one is kept. */
  readonly score?: number
  /** Whether the agent may act. */
  readonly status: AgentStatus
  /** The tier that the agent holds: a name of the policy in force when it was set. */
  readonly tier: string
  /** The count of changes, from 1. */
  readonly version: number
}

/** The fields that a PUT may set. An absent field stays as it is, or has the default of a new agent. */
export interface AgentBody {
  attestations?: readonly string[]
  creation?: Creation
  parent?: string
  score?: number
  status?: AgentStatus
  tier?: string
  version?: number
}

/** A change of a registered agent; a field that is not set stays as it is. */
export interface AgentChange {
  attestations?: readonly string[]
  changedBy?: string
  reason?: string
  score?: number
  status?: AgentStatus
  tier?: string
  version?: number
}

/** A page of agents. */
export interface AgentPage {
  readonly data: Agent[]
  readonly nextPageToken: string | null
  readonly total?: number
}

/** The status of an agent, which tells whether it may act. */
export type AgentStatus = 'ACTIVE' | 'SUSPENDED' | 'REVOKED'

/** A backup has nothing to tell. */
export interface BackupAnswer {
}

/** The caller of calls, as the host has authenticated it. */
export interface Caller {
  fleetWide?: boolean
  internal?: boolean
  name?: string
  organization?: string
  permissions?: readonly Permission[]
}

/** The answer to a ceiling check: the counter of the first resource, or the one that refused. Where no counter was asked nothing is allowed: the ceiling is 0. */
export interface CeilingAnswer {
  readonly allowed: boolean
  readonly asOf: string
  readonly ceiling: number
  readonly currentUsage: number
  readonly nearLimit: boolean
  readonly provenanceId: string | null
  readonly reason: string
  readonly reasonCode: string
  readonly recorded: Recorded
  readonly refusedBy?: Level
  readonly remaining: number
  readonly repeated?: boolean
  readonly resetAt: string | null
  /** One for each resource, where there were several. */
  readonly resources?: ResourceUsage[]
  readonly retryAfter?: number
  readonly windowStart: string | null
}

/** One resource, or several of which all are admitted or none. */
export interface CeilingBody {
  agentId: string
  onBehalfOf?: string
  requestedAmount?: number
  resourceType?: string
  resources?: readonly Demand[]
  tier?: string
  traceparent?: string
}

/** Verdicts of ceilings. */
export interface CeilingStats {
  /** Checks that were admitted. */
  readonly admitted: number
  /** Checks that asked for more than was left. */
  readonly exceeded: number
  /** Admitted checks that came near a ceiling. */
  readonly nearLimit: number
  /** Checks that were refused for another reason. */
  readonly refused: number
  /** All checks. */
  readonly totalChecks: number
  /** Checks that the policy did not record. */
  readonly unrecorded: number
}

/** The use of one resource by an agent, at one level. */
export interface CeilingUsage {
  readonly ceiling: number
  readonly current: number
  readonly level: Level
  readonly percentage: number
  readonly resetAt: string
  readonly resourceType: string
}

/** A record and its ancestors. */
export interface Chain {
  readonly chain: ProvenanceRecord[]
  readonly depth: number
  readonly root: ProvenanceRecord | null
}

/** A proof that the newest checkpoint begins with the log of an older size. */
export interface Consistency {
  /** The newest checkpoint, a signed note. */
  readonly checkpoint: string
  /** Hashes in base64 (RFC 6962, section 2.1.2). */
  readonly proof: string[]
}

/** The body of an answer that is an error of the contract. */
export interface ContractError {
  readonly code: string
  readonly details?: ContractErrorDetails
  readonly message: string
  readonly requestId?: string
  readonly retryAfter?: number
}

export type ContractErrorDetails = FieldDetails | PermissionDetails

/** The way in which an agent came to be. */
export type Creation = 'FRESH' | 'CLONED' | 'EVOLVED' | 'PROMOTED' | 'IMPORTED'

/** The policy in force. */
export interface CurrentPolicy {
  /** Canonical JSON. */
  readonly document: string
  readonly hash: string
}

/** The verdict of a rule, or of the absence of a matching rule. */
export type Decision = 'ALLOW' | 'DENY' | 'ESCALATE'

/** An amount of one resource: 1 to 2^40 - 1. */
export interface Demand {
  requestedAmount: number
  resourceType: string
}

/** The engine as it runs. */
export interface EngineInfo {
  /** The shard of the log that this engine writes. */
  readonly shard: number
  /** The key that verifies it. */
  readonly verifierKey: string
  readonly version: string
  /** Warnings for the operator. */
  readonly warnings: string[]
}

/** What a record is verified by, for whoever has nothing of ours. */
export interface Evidence {
  /** The exact text that is hashed into the tree. */
  readonly entry: string
  /** The exact text of the payload; `null` if it is gone. */
  readonly payload: string | null
  /** A C2SP tlog-proof against the newest checkpoint. */
  readonly proof: string
  /** The payload's salt, in hexadecimal. */
  readonly salt: string | null
  /** A C2SP verifier key. */
  readonly verifierKey: string
}

/** The size of an export. */
export interface Exported {
  readonly entries: number
  readonly files: number
}

/** The field that an error is about, and what is wrong with it. */
export interface FieldDetails {
  readonly field: string
  readonly issue: string
}

/** The answer to a gate's request. */
export interface GateAnswer {
  readonly allowed: boolean
  readonly decision: Decision
  readonly escalationPath?: string
  readonly evaluatedAt: string
  readonly provenanceId: string | null
  readonly reason: string
  readonly reasonCode: string
  readonly recorded: Recorded
  readonly requiredTier?: string
}

/** May this agent take this role here? */
export interface GateBody {
  agentId: string
  context?: GateContext
  onBehalfOf?: string
  role: string
  tier?: string
  traceparent?: string
}

/** The context in which the role is to be used. */
export interface GateContext {
  action?: string
  environment?: string
  metadata?: { [name: string]: Json }
  resourceId?: string
}

/** Verdicts of role gates. */
export interface GateStats {
  /** ALLOW. */
  readonly allowed: number
  /** Verdicts by the tier that they were evaluated at. */
  readonly byTier: { readonly [name: string]: number }
  /** DENY. */
  readonly denied: number
  /** ESCALATE. */
  readonly escalated: number
  /** All verdicts. */
  readonly total: number
  /** Verdicts that the policy did not record. */
  readonly unrecorded: number
}

/** Whether the services that the engine depends on answer. */
export interface Health {
  readonly database: Reachable
  /** Absent without Redis. */
  readonly redis?: Reachable
}

/** The types of records that a host writes. */
export type HostRecordType = 'ROLE_GATE' | 'CEILING' | 'ESCALATION' | 'ALERT'

/** The outcomes of an import. */
export interface ImportAnswer {
  /** In the places of the agents. */
  readonly outcomes: Imported[]
  readonly refused: number
  readonly registered: number
}

/** Agents to register. */
export interface ImportBody {
  agents: readonly NewAgent[]
}

/** The outcome of one agent. */
export type Imported = ImportedAgent | RefusedAgent

/** An agent that was registered. */
export interface ImportedAgent {
  readonly agent: Agent
}

/** The level of a counter: the agents that share it. */
export type Level = 'AGENT' | 'FAMILY' | 'ORGANIZATION' | 'FLEET'

/** An agent to register. */
export interface NewAgent {
  attestations?: readonly string[]
  creation?: Creation
  creator?: string
  id: string
  parent?: string
  registeredBy?: string
  score?: number
  status?: AgentStatus
  tier?: string
}

/** The options that an engine is opened with. Durations are milliseconds. */
export interface Options {
  cachedAgents?: number
  deployment?: string
  maxClockJumpMs?: number
  policy?: string
  queue?: number
  shard?: number
  signingKey?: string
  storage: StorageOptions
  takeoverAfterMs?: number
  tierAuthorities?: readonly string[]
}

/** A page of records. */
export interface Page {
  readonly data: ProvenanceRecord[]
  readonly logAheadSeconds?: number
  readonly nextPageToken: string | null
}

/** A permission that a call needs. */
export type Permission = 'gates:evaluate' | 'ceilings:check' | 'provenance:read' | 'provenance:write' | 'stats:read' | 'agents:read' | 'agents:write' | 'policy:read' | 'policy:write' | 'engine:operate'

/** The permission that the caller lacks. */
export interface PermissionDetails {
  readonly permission: string
}

/** A version of the policy. */
export interface PolicyVersion {
  readonly document: string
  readonly hash: string
  readonly since: string
  readonly version: number
}

/** A PostgreSQL database, 14 or later. */
export interface PostgresOptions {
  connectTimeoutMs?: number
  connections?: number
  replica?: string
  rootCertificates?: string
  schema?: string
  statementTimeoutMs?: number
  url: string
}

/** A record, with the parts that make its checkpoint a signed note again: origin, tree size, root and signature. */
export interface ProvenanceRecord {
  readonly agentId: string | null
  readonly caller?: string
  readonly context: { readonly [name: string]: Json } | null
  readonly decision: string | null
  readonly evidence?: RecordEvidence
  readonly id: string
  /** The request that the engine was asked: role, resources, amounts and the rest. */
  readonly inputs?: { readonly [name: string]: Json }
  readonly leafIndex: number
  readonly merkleRoot: string
  readonly onBehalfOf?: string
  readonly organization: string
  readonly origin: string
  readonly parentId: string | null
  readonly payloadErased?: boolean
  readonly reason: string | null
  readonly reasonCode?: string
  readonly signature: string
  readonly source: Source
  readonly timestamp: string
  readonly traceparent?: string
  readonly treeSize: number
  readonly type: RecordType
}

/** Records of the log. */
export interface ProvenanceStats {
  /** Seconds by which the log's time is ahead of the clock; 0 unless it is more than `max_clock_jump`. Ranges that end now do not hold what comes meanwhile. */
  readonly aheadSeconds: number
  /** Records by type. */
  readonly byType: { readonly [name: string]: number }
  /** Commits made by this engine since it was opened. */
  readonly commits?: number
  /** Records committed by this engine since it was opened. */
  readonly committed?: number
  /** Submissions that wait for a commit now, in this engine. */
  readonly queued?: number
  /** All records. */
  readonly totalRecords: number
}

/** Whether a service answers. */
export type Reachable = 'up' | 'down'

/** A receipt: the place of a record, and what makes its checkpoint a signed note again. */
export interface ReceiptAnswer {
  readonly id: string
  readonly leafIndex: number
  readonly merkleRoot: string
  readonly origin: string
  readonly signature: string
  readonly timestamp: string
  readonly treeSize: number
}

/** A record that the host writes itself. */
export interface RecordBody {
  agentId: string
  context?: { [name: string]: Json }
  decision: string
  id?: string
  onBehalfOf?: string
  parentId?: string
  reason?: string
  reasonCode?: string
  traceparent?: string
  type: HostRecordType
}

/** The exact texts that a record is checked by, as an export has them: the entry is hashed into the tree, and holds the HMAC of the payload under the salt. */
export interface RecordEvidence {
  readonly entry: string
  readonly payload: string | null
  readonly salt: string | null
}

/** The type of a record. */
export type RecordType = 'ROLE_GATE' | 'CEILING' | 'ESCALATION' | 'ALERT' | 'AGENT' | 'POLICY' | 'SIGNAL' | 'ERASURE' | 'GAP' | 'STATE'

/** Whether a verdict is in the log: on its way into it, or not recorded by the policy's will. */
export type Recorded = 'committed' | 'pending' | 'none'

/** A Redis server, 7.0 or later. */
export interface RedisOptions {
  bestEffort?: boolean
  connectTimeoutMs?: number
  prefix?: string
  rootCertificates?: string
  statsTtlMs?: number
  timeoutMs?: number
  url: string
}

/** The reason why an agent was not registered. */
export interface RefusedAgent {
  readonly error: ContractError
}

/** The counters of a reset. */
export interface ResetAnswer {
  readonly agentId: string
  readonly receipt: ReceiptAnswer
  /** The counters that were brought back. */
  readonly usage: CeilingUsage[]
}

/** How far the counter of one resource has come. */
export interface ResourceUsage {
  readonly ceiling: number
  readonly currentUsage: number
  readonly remaining: number
  readonly resetAt: string
}

/** The writer of a record. */
export type Source = 'ENGINE' | 'HOST'

/** Statistics of one organization, or of all. */
export interface Stats {
  /** Capability ceilings. */
  readonly ceiling: CeilingStats
  /** The log. */
  readonly provenance: ProvenanceStats
  /** Role gates. */
  readonly roleGates: GateStats
  /** The time at which these were taken. */
  readonly timestamp: string
}

/** Where the log and the state live: one of memory, embedded and postgres. */
export interface StorageOptions {
  embedded?: string
  memory?: boolean
  postgres?: string | PostgresOptions
  redis?: string | RedisOptions
}

/** The use of each resource. */
export interface UsageAnswer {
  readonly agentId: string
  readonly usage: CeilingUsage[]
}

/** The findings of a verification. */
export interface Verification {
  /** A text for each shard in which something is wrong; none if the log is what was signed. */
  readonly findings: string[]
}
