// What cannot be read as HTTP never becomes a request: it is answered here, in the same shape as everything else.
import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'

import type { ErrorBody } from './errors.js'

export function answerBrokenHttp(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  if (!socket.writable) {
    socket.destroy()
    return
  }
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
  socket.end(`${head.join('\r\n')}\r\n\r\n${json}`)
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
