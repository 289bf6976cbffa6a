// Compiled and never run: the types say what the engine does.
import {
  TrustEngine, TrustEngineError, ContractError, verifyRecord,
  type CeilingVerdict, type Decision, type GateVerdict, type Page, type PendingVerdict, type ProvenanceRecord, type Receipt,
  type Scope, type Stats,
} from 'trust-engine'

export async function uses(): Promise<void> {
  const engine = await TrustEngine.open({ storage: { postgres: { url: 'postgres://h/d' }, redis: 'redis://h' }, signingKey: new Uint8Array(32), deployment: 'd' })
  const verdict: GateVerdict = await engine.evaluateGate({ agentId: 'a', role: 'r', context: { metadata: { a: [1, null, { b: 'c' }] } } })
  const decision: Decision = verdict.decision
  const pending: PendingVerdict = engine.decideGate({ agentId: 'a', role: 'r' })
  const receipt: Receipt | null = await engine.committed(pending)
  const checked: CeilingVerdict = await engine.checkCeiling({ agentId: 'a', resourceType: 'r', requestedAmount: 1 })
  const page: Page = await engine.log().page({ type: 'ALERT' })
  for await (const record of engine.log({ fleetWide: true }).query()) {
    const one: ProvenanceRecord = record
    void one
  }
  const { entry, proof, verifierKey } = await engine.log().prove(page.data[0]!.id)
  verifyRecord(entry, proof, verifierKey)
  const text: string = await engine.json({ name: 'k' }).evaluateGate(new Uint8Array())
  try {
    await engine.close()
  } catch (error) {
    if (error instanceof TrustEngineError) console.log(error.code, error.retryable, error.details['field'])
    if (error instanceof ContractError) console.log(error.status, error.body)
  }
  const scopes: Scope[] = ['acme', {}, { organization: 'acme' }, { organization: 'acme', fleetWide: false }, { fleetWide: true }]
  const stats: Stats[] = await Promise.all(scopes.map((scope) => engine.stats('1h', scope)))
  const recorded: 'pending' | 'none' = pending.recorded
  void [decision, receipt, checked, text, stats, recorded]

  // @ts-expect-error a store is needed
  await TrustEngine.open({})
  // @ts-expect-error two stores are too many
  await TrustEngine.open({ storage: { memory: true, embedded: '/x' } })
  // @ts-expect-error the role is missing
  engine.decideGate({ agentId: 'a' })
  // @ts-expect-error verdicts are not changed
  verdict.allowed = true
  // @ts-expect-error it is committed already
  await engine.committed(verdict)
  // @ts-expect-error the number of its commit is nobody's business
  void pending.ticket
  // @ts-expect-error one organization or all of them
  engine.log({ organization: 'acme', fleetWide: true })
  // @ts-expect-error `null` is neither
  await engine.stats('1h', null)
  // @ts-expect-error errors are made by the engine
  new TrustEngineError()
  // @ts-expect-error hosts do not write these
  await engine.log().record({ type: 'GAP', agentId: 'a', decision: 'ALLOW' })
  // @ts-expect-error it is opened by open()
  new TrustEngine()
}
