// Requests that take their time.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

import { SECRETS } from './keys.js'

export interface Begun {
  readonly socket: Socket
  /** Sends the rest; gives everything that was answered until the connection was closed. */
  finish(): Promise<string>
}

/** A request that has begun and is not complete: a record of an agent, with a part of its body. */
export async function begun(port: number, agentId: string, ...headers: string[]): Promise<Begun> {
  const body = JSON.stringify({ type: 'ESCALATION', agentId, decision: 'ALLOW' })
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const head = ['POST /api/phase6/provenance HTTP/1.1', 'Host: a', `X-API-Key: ${SECRETS.host}`, 'Content-Type: application/json', ...headers]
  // Node has read the head when it answers that it wants the rest.
  socket.write(`${head.join('\r\n')}\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n${body.slice(0, 10)}`)
  await once(socket, 'data')
  return {
    socket,
    finish: async () => {
      const chunks: Buffer[] = []
      socket.on('data', (chunk) => chunks.push(chunk))
      socket.write(body.slice(10))
      await once(socket, 'close')
      return Buffer.concat(chunks).toString()
    },
  }
}
