package engine

// NewMute makes an engine in which every wake-up is lost.
func NewMute(o Options) (*Engine, error) { return newEngine(o, true) }
