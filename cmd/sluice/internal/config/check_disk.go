package config

// disk checks the disk buffer, and what is for that alone.
func (k *checker) disk(c *Config) {
	d := c.Buffer.Disk
	if c.Buffer.Type != "disk" {
		for _, path := range []string{"limits.stream.storage", "limits.tenant.storage"} {
			if k.given(path) {
				k.refuse(path, "is for a buffer of type disk")
			}
		}
		for i := range c.Outputs {
			if path := outputPath(i, "buffer.start"); k.given(path) {
				k.refuse(path, "is for a buffer of type disk")
			}
		}
		return
	}
	largest := max(c.Limits.MaxAppend, c.Buffer.Gather.Size)
	if segment := min(d.Segment, d.Storage/8); segment < chunksOfSegment*largest {
		path, least := "buffer.disk.segment", chunksOfSegment*largest
		if segment < d.Segment {
			path, least = "buffer.disk.storage", 8*least
		}
		k.refuse(path, "must be at least %s: a file is an eighth of storage at most, and has room for %d appends of limits.max_append, or "+
			"chunks of buffer.gather.size", least, chunksOfSegment)
	}
	if c.Limits.Stream.Storage.Of(int64(d.Storage)) > int64(d.Storage) {
		k.refuse("limits.stream.storage", "is more than buffer.disk.storage, %s", d.Storage)
	}
	if c.Limits.Tenant.Storage.Of(int64(d.Storage)) > int64(d.Storage) {
		k.refuse("limits.tenant.storage", "is more than buffer.disk.storage, %s", d.Storage)
	}
	if least := 8 * c.LettersSegment(); int64(d.DeadLetters.Storage) < least {
		k.refuse("buffer.disk.dead_letters.storage", "must be at least %s: 8 files with room for %d records of limits.max_append each",
			Size(least), chunksOfSegment)
	}
}

// space warns where the disk cannot hold what it may have to. It is no fault: there may be more by then.
func (k *checker) space(c *Config, spaceOf func(dir string) (Space, error)) {
	d := c.Buffer.Disk
	if d == nil || c.Buffer.Type != "disk" || spaceOf == nil || d.Path == "" {
		return
	}
	space, err := spaceOf(d.Path)
	if err != nil {
		return // whether it can be opened at all is found out by serve
	}
	if there := space.Free + space.Used; int64(d.Storage) > there-int64(d.DeadLetters.Storage) {
		k.warn("buffer.disk.storage", "%s, and %s of dead_letters.storage, are more than the file system of %s has for them: %s, of which "+
			"%s are free and %s in the directory already; when it is full, producers are paused until there is more",
			d.Storage, d.DeadLetters.Storage, d.Path, mib(there), mib(space.Free), mib(space.Used))
	}
}

// LettersSegment is the size of a file of the store of dead letters, in bytes: it must have room for the largest record with its
// resource, twice.
func (c *Config) LettersSegment() int64 { return max(4<<20, chunksOfSegment*int64(c.Limits.MaxAppend)) }

// chunksOfSegment is how many of the largest chunks a file of the buffer must have room for.
const chunksOfSegment = 4
