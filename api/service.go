package api

import "time"

// Service calls other services, is called by them, or both.
type Service struct {
	UID  string `json:"uid" example:"svc_00112233445566778899aabbccddeeff" doc:"Immutable identity. A name that is deleted and made again gets another one."`
	Name string `json:"name" example:"m1" doc:"Unique; the sub and aud of tokens."`
	ServiceSettings
	ManagedBy string    `json:"managedBy" example:"callmap" doc:"The owner, which is managed-by of its call map file. Empty: it was made by hand."`
	Version   int64     `json:"version" example:"1" doc:"Counts changes; the ETag in quotes."`
	CreatedAt time.Time `json:"createdAt" example:"2026-11-24T12:00:00Z" doc:"When it was made."`
	UpdatedAt time.Time `json:"updatedAt" example:"2026-11-24T12:00:00Z" doc:"When it was last changed."`
}

// NewService is the body that creates a service. What it does not name is empty.
type NewService struct {
	Name string `json:"name" maxLength:"128" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]*$" patternDescription:"letters, digits, '.', '_' and '-', beginning with a letter or a digit" example:"m1" doc:"1 to 128 letters, digits, '.', '_' and '-', beginning with a letter or a digit."`
	ServicePatch
}

// ServiceList is a page of services.
type ServiceList struct {
	Services      []Service `json:"services" nullable:"false" doc:"By name."`
	NextPageToken string    `json:"nextPageToken,omitempty" doc:"Asks for the next page. Absent on the last one."`
}
