import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

// Visible ASCII: such text can be echoed in a header and written to a log without a second thought.
const SANE = /^[\x21-\x7e]{1,128}$/

/** The caller's id of the request if it is a sane one, else a new one. */
export function requestId({ headers }: { headers: IncomingMessage['headers'] }): string {
  const given = headers['x-request-id']
  return typeof given === 'string' && SANE.test(given) ? given : randomUUID()
}
