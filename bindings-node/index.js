// The same module for `import`: one copy of its state and its classes, however it is loaded.
import module from './index.cjs'

export const {
  TrustEngine,
  TrustEngineError,
  InvalidInputError,
  InvalidPolicyError,
  ForbiddenError,
  NotFoundError,
  ConflictError,
  UnavailableError,
  WouldBlockError,
  ClosedError,
  StoreError,
  NotVerifiedError,
  ContractError,
  verifyConsistency,
  verifyLog,
  verifyPayload,
  verifyRecord,
  callTable,
  version,
} = module
