// The steps that have to be undone, however the run ends: last step first.
const steps = []
let cleaning
let interrupted = false

/** Adds a step; it must end by itself within bounded time. */
export function defer(step) {
  steps.push(step)
}

/** Does every step, even if one fails. */
export function cleanUp() {
  cleaning ??= undo().finally(() => (cleaning = undefined))
  return cleaning
}

export const wasInterrupted = () => interrupted

for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]]) {
  process.on(signal, () => {
    if (interrupted) return
    interrupted = true
    console.error(`\n${signal}: cleaning up`)
    void cleanUp().then(() => process.exit(code))
  })
}

async function undo() {
  for (let step = steps.pop(); step; step = steps.pop()) {
    try {
      await step()
    } catch (error) {
      console.error(`cleaning up: ${error.message}`)
    }
  }
}
