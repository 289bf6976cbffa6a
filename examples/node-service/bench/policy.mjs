// The policy of rows that are not measured with the default one.
import { writeFileSync } from 'node:fs'

import { TrustEngine } from 'trust-engine'

/** Writes the default policy with other rules for what is recorded of ceilings; returns the file. */
export async function writePolicy(folder, name, ceilings) {
  const engine = await TrustEngine.open({ storage: { memory: true } })
  try {
    const document = JSON.parse(engine.policy.current().document)
    Object.assign(document.recording.ceilings, ceilings)
    const path = `${folder}/policy-${name}.json`
    writeFileSync(path, JSON.stringify(document))
    return path
  } finally {
    await engine.close()
  }
}
