package directory

import (
	"time"

	"github.com/watchword-dev/watchword/internal/cowmap"
	"github.com/watchword-dev/watchword/internal/policy"
)

// Snapshot is everything the directory holds at one revision, immutable. Requests are
// answered from it; what it returns is shared and not to be changed.
type Snapshot struct {
	revision    int64
	byName      cowmap.Map[string, *Service]
	byUID       cowmap.Map[UID, *Service]
	credentials cowmap.Map[string, *Credential]
	callMap     policy.CallMap
}

// NewSnapshot indexes a state.
func NewSnapshot(s *State) *Snapshot {
	return &Snapshot{
		revision: s.Revision,
		byName: cowmap.Collect(len(s.Services), func(yield func(string, *Service) bool) {
			for i := range s.Services {
				if !yield(s.Services[i].Name, &s.Services[i]) {
					return
				}
			}
		}),
		byUID: cowmap.Collect(len(s.Services), func(yield func(UID, *Service) bool) {
			for i := range s.Services {
				if !yield(s.Services[i].UID, &s.Services[i]) {
					return
				}
			}
		}),
		credentials: cowmap.Collect(len(s.Credentials), func(yield func(string, *Credential) bool) {
			for i := range s.Credentials {
				if !yield(s.Credentials[i].ID, &s.Credentials[i]) {
					return
				}
			}
		}),
		callMap: policy.Compile(len(s.Rules), func(yield func(policy.Rule) bool) {
			for _, r := range s.Rules {
				if !yield(r.Compiled()) {
					return
				}
			}
		}),
	}
}

// Revision is that of the last change the snapshot holds.
func (s *Snapshot) Revision() int64 { return s.revision }

// Service finds a service by name.
func (s *Snapshot) Service(name string) (*Service, bool) { return s.byName.Find(name) }

// ServiceByUID finds a service by its identity.
func (s *Snapshot) ServiceByUID(uid UID) (*Service, bool) { return s.byUID.Find(uid) }

// Credential finds a credential by its id. Of a service that is gone there is none.
func (s *Snapshot) Credential(id string) (*Credential, bool) { return s.credentials.Find(id) }

// Rule is the compiled rule for e, or nil.
func (s *Snapshot) Rule(e policy.Edge) *policy.Rule { return s.callMap.Rule(e) }

// Counts of services, credentials and rules.
func (s *Snapshot) Counts() (services, credentials, rules int) {
	return s.byUID.Len(), s.credentials.Len(), s.callMap.Len()
}

// Decide says whether caller may have a token for the service named target, and which
// service that is. It is the one decision: every door, and whatever explains or rehearses a
// decision, asks here.
func (s *Snapshot) Decide(caller UID, target string, scopes []string, at time.Time) (policy.Decision, *Service) {
	if c, ok := s.byUID.Find(caller); !ok || c.Disabled {
		return policy.Decision{Reason: policy.CallerDisabled}, nil
	}
	to, ok := s.byName.Find(target)
	switch {
	case !ok:
		return policy.Decision{Reason: policy.UnknownTarget}, nil
	case to.Disabled:
		return policy.Decision{Reason: policy.TargetDisabled}, to
	}
	return s.callMap.Decide(policy.Query{
		Edge:   policy.Edge{Caller: caller, Target: to.UID},
		Scopes: scopes,
		At:     at.UnixMicro(),
	}), to
}

// withService returns a snapshot in which svc is as given.
func (s Snapshot) withService(svc Service) *Snapshot {
	// Names are immutable, so the entry by name is replaced and never left behind.
	s.byName = s.byName.With(svc.Name, &svc)
	s.byUID = s.byUID.With(svc.UID, &svc)
	return &s
}

// withoutService returns a snapshot without the service and all that hangs on it. It looks
// at every rule and credential: deleting is rare, and an index of who is called by whom would
// be paid for by every other change.
func (s Snapshot) withoutService(uid UID) *Snapshot {
	svc, ok := s.byUID.Find(uid)
	if !ok {
		return &s
	}
	// The name may already be another service's, when the deletion and the creation that
	// followed it are applied together.
	if named, ok := s.byName.Find(svc.Name); ok && named.UID == uid {
		s.byName = s.byName.Without(svc.Name)
	}
	s.byUID = s.byUID.Without(uid)
	for id, c := range s.credentials.All() {
		if c.Service == uid {
			s.credentials = s.credentials.Without(id)
		}
	}
	s.callMap = s.callMap.WithoutService(uid)
	return &s
}

func (s Snapshot) withCredential(c Credential) *Snapshot {
	s.credentials = s.credentials.With(c.ID, &c)
	return &s
}

func (s Snapshot) withoutCredential(id string) *Snapshot {
	s.credentials = s.credentials.Without(id)
	return &s
}

func (s Snapshot) withRule(r policy.Rule) *Snapshot {
	s.callMap = s.callMap.With(r)
	return &s
}

func (s Snapshot) withoutRule(e policy.Edge) *Snapshot {
	s.callMap = s.callMap.Without(e)
	return &s
}

func (s Snapshot) at(revision int64) *Snapshot {
	s.revision = revision
	return &s
}
