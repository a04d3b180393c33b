/**
 * The one table of reasons. Every refusal that leaves the server, over the socket, over HTTP or as an exception to the host,
 * carries a code from here; nothing else invents one (spec/session-protocol.md appendix B, spec/wire-format.md §5.6).
 */
export interface Reason {
  /** Default text; a more precise text may replace it on the wire. */
  message: string
  /** HTTP status when the refusal answers a request. */
  status: number
  /** WebSocket close code when the refusal ends a session, otherwise null. */
  close: number | null
  /** Whether the same request may succeed later without being changed. */
  retry: boolean
}

const reason = (message: string, status: number, close: number | null = null, retry = false): Reason =>
  ({ message, status, close, retry })

export const REASONS = {
  'unauthorized.token_missing': reason('a capability token is required', 401, 1008),
  'unauthorized.token_invalid': reason('the token is malformed or its signature does not verify', 401, 1008),
  'unauthorized.token_expired': reason('token expired', 401, 4002, true),
  'unauthorized.token_peer_mismatch': reason('the token names another peer', 401, 1008),
  'unauthorized.token_room_mismatch': reason('the token names another room', 401, 1008),
  'unauthorized.capability_mismatch': reason('the token carries unknown capabilities', 401, 1008),
  'unauthorized.reserved_identity': reason('this identity is reserved for the server', 401, 1008),
  'unauthorized.denied': reason('the host refused this peer', 403, 1008),
  'unauthorized.hello_expected': reason('expected hello', 400, 1008),
  'unauthorized.hello_timeout': reason('hello timeout', 408, 1008, true),

  'reject.hash_mismatch': reason('the id is not the hash of the transaction', 422),
  'reject.invalid_signature': reason('the signature does not verify', 422),
  'reject.missing_parent': reason('a parent is not known yet', 409, null, true),
  'reject.lamport_ceiling': reason('the lamport value runs too far ahead of the room', 422),
  'reject.wall_clock_skew': reason('the wall clock runs too far ahead of the server', 422, null, true),
  'reject.policy_violation': reason('the room policy does not let this author write this key', 403),
  'reject.path_scope_forbidden': reason('the capabilities of this session do not cover this key', 403),
  'reject.control_plane_forbidden': reason('the command needs a capability this session lacks', 403),
  'reject.authority_required': reason('only the server may write this key', 403),
  'reject.protocol_invalid_message': reason('the message cannot be read', 400),
  'reject.protocol_invalid_field': reason('a field of the message cannot be read', 400),
  'reject.protocol_unsupported_command': reason('the message type is not supported', 400),
  'reject.protocol_binary_frame': reason('binary frames are not part of the protocol', 400, 1003),
  'reject.protocol_message_too_large': reason('message too large', 413, 1009),
  'reject.presence_lease_invalid': reason('the presence lease is invalid', 400),
  'reject.rate_limit_nodes': reason('rate limit exceeded', 429, 4008, true),
  'reject.rate_limit_bytes': reason('rate limit exceeded', 429, 4008, true),
  'reject.rate_limit_messages': reason('too many messages of this kind', 429, null, true),
  'reject.broadcast_lagged_resync_required': reason('resync required', 503, 4001, true),
  'reject.server_overload': reason('server overload', 503, 1011, true),
  'reject.server_draining': reason('server restarting', 503, 1012, true),
  'reject.room_invalid': reason('the room id is not usable', 400, 1008),
  'reject.room_unavailable': reason('room loading', 503, 1013, true),
  'reject.room_locked': reason('room already locked', 409),
  'reject.store_unavailable': reason('the store did not accept the write; nothing was kept, send it again', 503, null, true),
  'reject.internal': reason('internal error', 500, 1011, true),

  'reject.blob_hash_invalid': reason('non-canonical hash', 400),
  'reject.blob_unauthorized': reason('unauthorized', 401),
  'reject.blob_not_found': reason('not found', 404),
  'reject.blob_method': reason('method not allowed', 405),
  'reject.blob_too_large': reason('blob too large', 413),
  'reject.blob_encoding': reason('Content-Encoding not supported on PUT', 415),
  'reject.blob_range': reason('range not satisfiable', 416),
  'reject.blob_hash_mismatch': reason('hash mismatch', 422),
  'reject.blob_write_failed': reason('blob write failed', 500),
  'reject.blob_unavailable': reason('blob write failed', 503, null, true),
  'reject.blob_op_invalid': reason("op must be 'get' or 'put'", 400),
  'reject.blob_size_invalid': reason('size must be a positive integer', 400),
  'reject.blob_query_invalid': reason('the query cannot be read', 400),
  'reject.blob_interrupted': reason('the upload was cut off', 400, null, true),
  'reject.blob_upload_rejected': reason('the uploaded object was rejected', 409),
  'reject.blob_presign_unsupported': reason('this store cannot presign', 501),

  'store.locked': reason('another process holds the data folder', 500),
  'store.format_newer': reason('the data was written by a newer version', 500),
  'store.format_foreign': reason('the folder holds data of another program or an older format', 500),
  'store.closed': reason('the store is closed', 503, null, true),
  'store.failed': reason('the store failed', 503, null, true),
  'client.storage': reason('the local storage failed; nothing was kept', 507, null, true),
  'client.token': reason('no token could be had', 401, null, true),
  'client.denied': reason('the server refuses this client', 403),
  'client.timeout': reason('it took too long', 504, null, true),
  'client.closed': reason('the document is closed', 410),
  'client.out_of_scope': reason('the key is not followed', 403),
  'client.blob': reason('the blob could not be fetched', 502, null, true),
  'plugin.upgrade_conflict': reason('another scope already answers upgrades on this server', 500),
  'plugin.key_invalid': reason('the server key file is unreadable or has the wrong size', 500)
} as const satisfies Record<string, Reason>

export type Code = keyof typeof REASONS

/** An error with a code of the table. `message` defaults to the table's text; `cause` keeps what led to it. */
export class NodalmergeError extends Error {
  readonly code: Code
  readonly statusCode: number
  readonly retry: boolean

  constructor (code: Code, message?: string, options?: ErrorOptions) {
    super(message ?? REASONS[code].message, options)
    this.name = 'NodalmergeError'
    this.code = code
    this.statusCode = REASONS[code].status
    this.retry = REASONS[code].retry
  }
}
