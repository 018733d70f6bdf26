/**
 * People in organizations and projects. Lists are by name; an id of a person may be any text, so a cursor has a digest of the
 * last one that was shown, and its place, where to go on when that one was removed meanwhile.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { noContent, type PageQuery, pageQuery } from "../../protocol/http/common.ts";
import {
  builderPage,
  organizationMemberInput,
  organizationMemberPage,
  organizationMemberParams,
  projectMemberInput,
  projectMemberPage,
  projectMemberParams,
} from "../../protocol/http/members.ts";
import { organizationParams, projectParams } from "../../protocol/http/organizations.ts";
import type { Capacity } from "../../protocol/roles.ts";
import { decodeCursor, encodeCursor, type Page } from "../paging.ts";
import { defineRoute, type Route } from "../route.ts";

const placeKey = z.tuple([z.int().min(0), z.string().length(43)]);

function pageOfPeople<Person extends { readonly personId: string }>(
  people: readonly Person[],
  { limit, cursor }: PageQuery,
): Page<Person> {
  const start = cursor === undefined ? 0 : startAfter(people, decodeCursor(cursor, placeKey));
  const data = people.slice(start, start + limit);
  const last = data.at(-1);
  const end = start + data.length;
  if (last === undefined || end >= people.length) return { data, pagination: { hasMore: false } };
  return { data, pagination: { cursor: encodeCursor([end - 1, digestOf(last)]), hasMore: true } };
}

function startAfter(people: readonly { personId: string }[], [place, digest]: [number, string]): number {
  const index = people.findIndex((person) => digestOf(person) === digest);
  // Whoever took the place of one that was removed is next.
  return index === -1 ? place : index + 1;
}

function digestOf({ personId }: { personId: string }): string {
  return createHash("sha256").update(personId).digest("base64url");
}

export const memberRoutes: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/organizations/:organizationId/members",
    operationId: "listOrganizationMembers",
    summary: "The people of the organization, by name",
    tag: "members",
    params: organizationParams,
    query: pageQuery,
    responses: { 200: organizationMemberPage },
    access: "principal",
    handler: async ({ vault, params, query }) =>
      pageOfPeople(await vault.tenancy.listOrganizationMembers(params.organizationId), query),
  }),
  defineRoute({
    method: "PUT",
    path: "/v1/organizations/:organizationId/members/:personId",
    operationId: "setOrganizationMember",
    summary: "Add a person to the organization, or change their name and role",
    description: "Owners are made and unmade by owners, and an organization always keeps one. Platform keys may not.",
    tag: "members",
    params: organizationMemberParams,
    body: organizationMemberInput,
    responses: { 204: noContent },
    access: "principal",
    handler: async ({ vault, params, body }) => await vault.tenancy.setOrganizationMember({ ...params, ...body }),
  }),
  defineRoute({
    method: "DELETE",
    path: "/v1/organizations/:organizationId/members/:personId",
    operationId: "removeOrganizationMember",
    summary: "Take a person out of the organization and all its projects",
    tag: "members",
    params: organizationMemberParams,
    responses: { 204: noContent },
    access: "principal",
    handler: async ({ vault, params }) => await vault.tenancy.removeOrganizationMember(params),
  }),
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/members",
    operationId: "listProjectMembers",
    summary: "The people who are listed in the project itself, by name",
    description: "Owners and admins of the organization have a part in every project without being listed there.",
    tag: "members",
    params: projectParams,
    query: pageQuery,
    responses: { 200: projectMemberPage },
    access: "principal",
    handler: async ({ vault, params, query }) =>
      pageOfPeople(await vault.tenancy.listProjectMembers(params.projectId), query),
  }),
  defineRoute({
    method: "PUT",
    path: "/v1/projects/:projectId/members/:personId",
    operationId: "setProjectMember",
    summary: "Add a member of the organization to the project, or change their role",
    tag: "members",
    params: projectMemberParams,
    body: projectMemberInput,
    responses: { 204: noContent },
    access: "principal",
    handler: async ({ vault, params, body }) => await vault.tenancy.setProjectMember({ ...params, ...body }),
  }),
  defineRoute({
    method: "DELETE",
    path: "/v1/projects/:projectId/members/:personId",
    operationId: "removeProjectMember",
    summary: "Take a person out of the project",
    tag: "members",
    params: projectMemberParams,
    responses: { 204: noContent },
    access: "principal",
    handler: async ({ vault, params }) => await vault.tenancy.removeProjectMember(params),
  }),
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/builders",
    operationId: "listBuilders",
    summary: "Everybody who may use the project's secrets in steps, and by which role",
    description: "Any of them can act with the permissions of what the project's secrets open.",
    tag: "members",
    params: projectParams,
    query: pageQuery,
    responses: { 200: builderPage },
    access: "principal",
    async handler({ vault, params, query }) {
      const builders = await vault.tenancy.listBuilders(params.projectId);
      return pageOfPeople(
        builders.map((builder) => ({ ...builder, by: builder.by as Capacity })),
        query,
      );
    },
  }),
];
