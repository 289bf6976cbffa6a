// Bytes that cannot be read as HTTP never become a request: they are answered here, in the same shape as everything
// else.
import { randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

import type { ErrorBody } from './errors.js'

/** How long a caller has to read the answer before the connection is cut. */
const LINGER_MS = 1000

/** More may arrive on them that is broken. */
const answered = new WeakSet<Socket>()

export function answerBrokenHttp(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || answered.has(socket)) return
  answered.add(socket)
  inTurn(socket, () => {
    if (!socket.writable) return
    socket.end(answerTo(error), () => setTimeout(() => socket.destroy(), LINGER_MS).unref())
  })
}

/** Calls `answer` when every earlier request on this connection is answered. */
function inTurn(socket: Socket, answer: () => void): void {
  // Node's own handler of such errors looks at it too; there is no public name for it.
  const { _httpMessage: current } = socket as Socket & { _httpMessage?: ServerResponse | null }
  // A request that is not complete is the broken one itself.
  if (!current || (!current.req.complete && !current.headersSent)) return answer()
  current.once('close', () => {
    if (!socket.destroyed) inTurn(socket, answer)
  })
}

function answerTo(error: NodeJS.ErrnoException): string {
  const requestId = randomUUID()
  const body: ErrorBody = { code: 'P6_INVALID_REQUEST', message: messageOf(error), requestId }
  const json = JSON.stringify(body)
  const head = [
    'HTTP/1.1 400 Bad Request',
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(json)}`,
    'X-Content-Type-Options: nosniff',
    'Cache-Control: no-store',
    `X-Request-Id: ${requestId}`,
    'Connection: close',
  ]
  return `${head.join('\r\n')}\r\n\r\n${json}`
}

function messageOf({ code }: NodeJS.ErrnoException): string {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return 'the request took too long to arrive'
    case 'HPE_HEADER_OVERFLOW':
      return 'the headers are too long'
    default:
      return 'this is not HTTP'
  }
}
