// Calls the service as any client does.
import { SECRETS } from './keys.js'

export interface Options {
  /** Name of a key; none sends none. */
  key?: keyof typeof SECRETS | 'none'
  /** An object is sent as JSON, bytes and text as they are. */
  body?: object | string | Uint8Array
  headers?: Record<string, string>
}

export class Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string

  constructor(status: number, headers: Headers, text: string) {
    this.status = status
    this.headers = headers
    this.text = text
  }

  json<T = Record<string, unknown>>(): T {
    return JSON.parse(this.text) as T
  }

  /** As an error of the contract. */
  error(): ErrorAnswer {
    return this.json<ErrorAnswer>()
  }
}

export interface ErrorAnswer {
  code: string
  message: string
  details?: Record<string, string>
  requestId: string
  retryAfter?: number
}

export interface RecordAnswer {
  id: string
  type: string
  source: 'ENGINE' | 'HOST'
  organization: string
  agentId: string
  decision: string
  reason: string | null
  context: object | null
  parentId: string | null
  onBehalfOf?: string
  traceparent?: string
  merkleRoot: string
  signature: string
  timestamp: string
}

export interface PageAnswer {
  data: RecordAnswer[]
  nextPageToken: string | null
}

export class Client {
  readonly #origin: string

  constructor(origin: string) {
    this.#origin = origin
  }

  /** Paths that do not begin with /api or /health are under /api/phase6. */
  async call(method: string, path: string, { key = 'host', body, headers = {} }: Options = {}): Promise<Answer> {
    const url = this.#origin + (/^\/(api|health)/.test(path) ? '' : '/api/phase6') + path
    const plain = typeof body === 'string' || body instanceof Uint8Array
    const response = await fetch(url, {
      method,
      headers: {
        ...(key !== 'none' && { authorization: `Bearer ${SECRETS[key]}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: plain ? (body as string | Uint8Array<ArrayBuffer>) : JSON.stringify(body) }),
    })
    return new Answer(response.status, response.headers, await response.text())
  }

  get(path: string, options?: Options): Promise<Answer> {
    return this.call('GET', path, options)
  }

  post(path: string, body: object | string | Uint8Array, options?: Options): Promise<Answer> {
    return this.call('POST', path, { ...options, body })
  }

  put(path: string, body: object | string | Uint8Array, options?: Options): Promise<Answer> {
    return this.call('PUT', path, { ...options, body })
  }

  /** A record about an agent; the committed record comes back. */
  async record(agentId: string, more: object = {}, options?: Options): Promise<RecordAnswer> {
    const answer = await this.post('/provenance', { type: 'ESCALATION', agentId, decision: 'ALLOW', ...more }, options)
    if (answer.status !== 201) throw new Error(`${answer.status}: ${answer.text}`)
    return answer.json<RecordAnswer>()
  }

  /** Every page of a search. `between` is awaited after each. */
  async pages(query: string, between: () => Promise<void> = async () => {}): Promise<RecordAnswer[][]> {
    const pages: RecordAnswer[][] = []
    let token: string | null = null
    do {
      const answer: Answer = await this.get(`/provenance?${query}${token === null ? '' : `&pageToken=${encodeURIComponent(token)}`}`)
      if (answer.status !== 200) throw new Error(`${answer.status}: ${answer.text}`)
      const page: PageAnswer = answer.json<PageAnswer>()
      pages.push(page.data)
      token = page.nextPageToken
      await between()
    } while (token !== null)
    return pages
  }
}
