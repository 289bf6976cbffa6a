'use strict'
// Verdicts as the native half gives them: one text each, because making an object there costs more than the verdict.

const UNIT = '\u001f'

/** A gate's verdict; see `gate` in src/output.rs. */
class GateVerdict {
  // Here and not in a WeakMap of the engine, which would cost a tenth of the verdict. Copies have none.
  #ticket

  /** `engine` is the one to ask for the commit, if the verdict did not wait for it; the record is `organization`'s. */
  constructor(text, engine, organization) {
    const parts = text.split(UNIT)
    const [decision, recorded, ticket, reasonCode, evaluatedAt, provenanceId, requiredTier, escalationPath, receipt, trace] = parts
    this.allowed = decision === 'ALLOW'
    this.decision = decision
    this.reason = parts.length === 11 ? parts[10] : parts.slice(10).join(UNIT)
    this.reasonCode = reasonCode
    this.evaluatedAt = evaluatedAt
    this.provenanceId = provenanceId
    this.recorded = recorded
    if (requiredTier !== '') this.requiredTier = requiredTier
    if (escalationPath !== '') this.escalationPath = escalationPath
    if (receipt !== '') this.receipt = JSON.parse(receipt)
    if (trace !== '') this.trace = JSON.parse(trace)
    if (ticket !== '') this.#ticket = { engine, number: Number(ticket), organization, receipt: undefined }
  }

  /** The ticket of a verdict's commit: the engine, the number, and the promise once the commit was asked for. */
  static ticketOf(verdict) {
    return typeof verdict === 'object' && verdict && #ticket in verdict ? verdict.#ticket : undefined
  }
}

/** A ceiling's verdict; see `ceiling` in src/output.rs. */
function ceilingVerdict(text) {
  const [allowed, recorded, near, retryable, repeated, reasonCode, usage, ceiling, remaining, resetAt, provenanceId, reason] =
    text.split(UNIT)
  const verdict = {
    allowed: allowed === '1',
    reason,
    reasonCode,
    currentUsage: Number(usage),
    ceiling: Number(ceiling),
    remaining: Number(remaining),
    nearLimit: near === '1',
    recorded,
    retryable: retryable === '1',
  }
  if (repeated === '1') verdict.repeated = true
  if (resetAt !== '') verdict.resetAt = resetAt
  if (provenanceId !== '') verdict.provenanceId = provenanceId
  return verdict
}

module.exports = { GateVerdict, ceilingVerdict }
