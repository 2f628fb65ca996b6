package engine

import "sync"

// A mailbox is how others talk to a delivery loop: they post and go on. Its lock is taken after an intake's and the
// buffer's, and nothing is called while it is held.
type mailbox struct {
	bell bell

	mu   sync.Mutex // guards what follows
	mail mail
}

// mail is what came since the loop last looked.
type mail struct {
	landed  []*landing
	sent    []*Batch
	hurried map[*Stream]struct{}
	dead    []Span
	drain   bool
}

func (b *mailbox) post(write func(*mail)) {
	b.mu.Lock()
	write(&b.mail)
	b.mu.Unlock()
	b.bell.ring()
}

func (b *mailbox) land(l *landing) {
	b.post(func(m *mail) { m.landed = append(m.landed, l) })
}

func (b *mailbox) sent(batch *Batch) {
	b.post(func(m *mail) { m.sent = append(m.sent, batch) })
}

func (b *mailbox) hurry(s *Stream) {
	b.post(func(m *mail) {
		if m.hurried == nil {
			m.hurried = map[*Stream]struct{}{}
		}
		m.hurried[s] = struct{}{}
	})
}

func (b *mailbox) bury(spans []Span) {
	b.post(func(m *mail) { m.dead = append(m.dead, spans...) })
}

func (b *mailbox) drain() {
	b.post(func(m *mail) { m.drain = true })
}

func (b *mailbox) take() mail {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.mail
	b.mail = mail{}
	return m
}
