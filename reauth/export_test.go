package reauth

import "context"

// AdmitBegin is admitBegin.
func (s *Service) AdmitBegin(ctx context.Context, c *Caller) error { return s.admitBegin(ctx, c) }
