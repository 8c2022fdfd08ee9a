package batch

// Op names a call to a driver, in [Call] and [Fault].
type Op string

// The calls to a driver.
const (
	OpDeclare     Op = "declare"
	OpDeleteQueue Op = "delete queue"
	OpEnqueue     Op = "enqueue"
	OpConsume     Op = "consume"
	OpReceive     Op = "receive"
	OpSettle      Op = "settle"
	OpExtend      Op = "extend"
	OpAbandon     Op = "abandon"
	OpStop        Op = "stop"
	OpClose       Op = "close"
	OpDepth       Op = "depth"
	OpDeadLetters Op = "dead letters"
	OpRedrive     Op = "redrive"
	OpDiscard     Op = "discard"
	OpList        Op = "list"
	OpFind        Op = "find"
	OpDelete      Op = "delete"
	OpPause       Op = "pause"
	OpResume      Op = "resume"
	OpPaused      Op = "paused"
	OpImport      Op = "import"
	OpPurge       Op = "purge"
)
